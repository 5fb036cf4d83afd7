"""A real Redis of one's own: to fill, to kill, to follow as a replica."""

from __future__ import annotations

from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.services.process import ServerProcess, free_ports


class RedisServer:
    """One `redis-server` on loopback that writes every change to its folder."""

    def __init__(self, folder: Path, *, port: int | None = None, replica_of: int | None = None) -> None:
        """`replica_of` is the port of the Redis it follows. A port that was not named stays the same over restarts."""
        self.port = port or free_ports(1)[0]
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder.absolute())]
        command += ["--save", "", "--appendonly", "yes", "--daemonize", "no"]
        # A replica is given the data at once, not after five seconds in which others might ask for it, too.
        command += ["--repl-diskless-sync-delay", "0"]
        if replica_of is not None:
            command += ["--replicaof", f"127.0.0.1 {replica_of}"]
        # Redis renames itself in the list of processes and leaves its folder out, unless told to keep its command line.
        command += ["--set-proc-title", "no"]
        self.process = ServerProcess(folder, command)

    @property
    def url(self) -> str:
        """Of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Start it unless it runs; returns once it answers. Raises ServerFailed."""
        await self.process.start(self._answers)

    async def stop(self) -> None:
        """End it in good order."""
        await self.process.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()

    async def _answers(self) -> bool:
        """This very process: a port may have been taken by another's Redis while ours was down."""
        client = Redis.from_url(self.url, socket_timeout=1)
        try:
            await client.ping()  # refused while it loads
            return bool((await client.info("server"))["process_id"] == self.process.pid)
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose()
