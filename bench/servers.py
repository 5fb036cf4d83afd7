"""The servers that benchmarks start, each in a process of its own, and end again."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bus.clock import SystemClock
from delivery.development_key import DevelopmentKey


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    port: int
    pid: int


def service_token(data: Path) -> str:
    """A service's token, signed by the development key of the data folder."""
    raise NotImplementedError(data, SystemClock, DevelopmentKey, timedelta)


@asynccontextmanager
async def covey(data: Path, *, log: str = "sqlite", payer_url: str | None = None) -> AsyncIterator[Server]:
    """Covey over a durable log, or one in memory; with its own simulator unless told of another."""
    port = _free_port()
    env = {
        "COVEY_DATA": str(data),
        "COVEY_LOG_LEVEL": "error",
        "COVEY_QUEUE_LIMIT": "1000000",
        "COVEY_CACHE_FRESH_SECONDS": "604800",
    }
    if payer_url is not None:
        env["COVEY_PAYER_URL"] = payer_url
    async with _running("-m", "bench.covey_server", str(port), log, env=env) as pid:
        await _until_listening(port)
        yield Server(port, pid)


@asynccontextmanager
async def stock() -> AsyncIterator[Server]:
    """Strawberry as it comes."""
    port = _free_port()
    async with _running("-m", "bench.stock", str(port), env={}) as pid:
        await _until_listening(port)
        yield Server(port, pid)


@asynccontextmanager
async def simulator(*, speed: float) -> AsyncIterator[str]:
    """The payer simulator; its URL."""
    port = _free_port()
    async with _running("-m", "cli", "payer-sim", "--port", str(port), "--speed", str(speed), env={}):
        await _until_listening(port)
        yield f"http://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def _running(*arguments: str, env: dict[str, str]) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env={**os.environ, **env})
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _until_listening(port: int) -> None:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise RuntimeError(f"Nothing listens on port {port} after 10 s.")
