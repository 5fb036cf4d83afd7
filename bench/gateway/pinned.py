"""Servers that have a core to themselves."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1

Publish = Callable[[], Awaitable[None]]
Prepare = Callable[[Sequence[int], int, int], Publish]
"""Makes ready what publishes requests of these members, from one number up to another: as fast as it can be sent."""
One = Callable[[int, int], Publish]
"""Makes ready what publishes one event: the member's number, and that of the event among the member's."""


class Served(NamedTuple):
    """A server, and how events reach it."""

    port: int
    pid: int
    prepare: Prepare
    one: One
    token: str | None = None
    """Of whoever connects; None where nobody is asked."""


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """What a process has in memory now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


@asynccontextmanager
async def pinned(*command: str, env: Mapping[str, str] | None = None) -> AsyncIterator[int]:
    """Run a command on the servers' core; its process id. It is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        "taskset", "-c", str(SERVER_CORE), *command, env={**os.environ, **(env or {})}
    )
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_listening(port: int) -> None:
    """A minute at most."""
    async with asyncio.timeout(60):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)
