"""One server process with a folder of its own, which may outlive who started it: its id is kept in a file there."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 20
_POLL_SECONDS: Final = 0.1
_PORTS: Final = range(10_000, 32_000)
"""Below those that connections are given: free now is still free when its server comes, or comes back."""


class ServerFailed(Exception):
    """A server ended while it was started, or never answered; the message holds the end of what it wrote."""


class ServerProcess:
    """Starts, stops and kills one process; a second object for the same folder finds the process of the first."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        """`command` has to name the folder: so a process is known for this server's, whatever id it got."""
        self.folder = folder.absolute()
        self._command = command
        self._pid_file = self.folder / "pid"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process; None while there is none."""
        if self._child is not None:
            return self._child.pid if self._child.poll() is None else None
        try:
            pid = int(self._pid_file.read_text())
            ours = str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if ours else None

    async def start(self, answers: Callable[[], Awaitable[bool]]) -> None:
        """Start it unless it runs, and return once it answers. Raises ServerFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.pid is None:
            with (self.folder / "output").open("ab") as output:
                self._child = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                    self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            self._pid_file.write_text(str(self._child.pid))
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await answers():
                    if self.pid is None:
                        raise ServerFailed(f"{self._command[0]} ended at once:\n{self._last_words()}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            self.kill()
            raise ServerFailed(f"{self._command[0]} does not answer:\n{self._last_words()}") from None

    async def stop(self) -> None:
        """Ask it to end, and wait for that; kill it where it does not."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                while self.pid is not None:  # noqa: ASYNC110 - it may be somebody else's child
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            self.kill()
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it as a crash would; what it had not written to its folder is lost."""
        self._signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait()

    def freeze(self) -> None:
        """Stop it from running, with all its connections open, as a hung machine would."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run on after `freeze`."""
        self._signal(signal.SIGCONT)

    def forget(self) -> None:
        """Delete its folder; only once it has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if (pid := self.pid) is not None:
            os.kill(pid, number)

    def _last_words(self) -> str:
        return (self.folder / "output").read_text(errors="replace")[-2000:]


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listens on now, and that no connection is given meanwhile."""
    opened: list[socket.socket] = []
    try:
        while len(opened) < count:
            with suppress(OSError):
                opened.append(socket.create_server(("127.0.0.1", secrets.choice(_PORTS))))
        return [one.getsockname()[1] for one in opened]
    finally:
        for one in opened:
            one.close()


async def listens(port: int) -> bool:
    """Whether anybody accepts connections on this loopback port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
