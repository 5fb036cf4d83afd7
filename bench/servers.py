"""The servers that benchmarks start, each in a process of its own, and end again."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from bus.clock import SystemClock
from bus.ids import TenantId, random_id
from delivery.caller import Role
from delivery.development_key import DevelopmentKey, sign_development_token
from tests.bus.kafka_logs import link_to, new_topics
from tests.services.addresses import ADDRESSES
from tests.services.redis import RedisServer

PARTITIONS: Final = 48
"""Of `rte.events` in runs over Kafka: as is shipped."""


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    port: int
    pid: int


def service_token(data: Path) -> str:
    """A service's token, signed by the development key of the data folder."""
    return sign_development_token(
        DevelopmentKey.in_folder(data),
        tenant_id=TenantId("bench"),
        roles=[Role.SERVICE],
        member_id=None,
        ttl_seconds=7200,
        now=SystemClock().now(),
        token_id=random_id(),
    )


@asynccontextmanager
async def covey(data: Path, *, log: str = "sqlite", payer_url: str) -> AsyncIterator[Server]:
    """Covey over a durable log, or one in memory."""
    port = free_port()
    env = {
        "COVEY_DATA": str(data),
        "COVEY_QUEUE_LIMIT": "1000000",
        "COVEY_PAYER_URL": payer_url,
    }
    async with _running("-m", "bench.covey_server", str(port), log, env=env) as pid:
        await until_ready(port)
        yield Server(port, pid)


@asynccontextmanager
async def serve(data: Path, *, env: Mapping[str, str] | None = None) -> AsyncIterator[Server]:
    """`covey serve`, as it is installed, with more settings; not waited for."""
    async with _role("serve", data, env or {}) as server:
        yield server


@asynccontextmanager
async def worker(data: Path, *, env: Mapping[str, str]) -> AsyncIterator[Server]:
    """`covey worker` of `shared`; the port is that of its probes. Not waited for."""
    async with _role("worker", data, env) as server:
        yield server


@asynccontextmanager
async def shared(folder: Path, *, payer_url: str) -> AsyncIterator[dict[str, str]]:
    """Topics on the Kafka of `scripts/services`, and a Redis, of this run's own; the settings of who uses them.

    Ends with KeyError or FileNotFoundError where no Kafka was started.
    """
    kafka = json.loads(ADDRESSES.read_text())["kafka"]
    redis = RedisServer(folder / "redis")
    await redis.start()
    try:
        async with new_topics(link_to(kafka), partitions=PARTITIONS) as prefix:
            yield {
                "COVEY_LOG": f"kafka://{kafka}",
                "COVEY_STATE": redis.url,
                "COVEY_TOPIC_PREFIX": prefix,
                "COVEY_TOPIC_PARTITIONS": str(PARTITIONS),
                "COVEY_TOPIC_REPLICATION": "1",
                "COVEY_TOPIC_MIN_IN_SYNC": "1",
                "COVEY_QUEUE_LIMIT": "1000000",
                "COVEY_PAYER_URL": payer_url,
                # Two processes of one development share its key; here each may have a data folder of its own.
                "COVEY_CURSOR_KEY": "bench only, known to everybody, 32 bytes and more",
            }
    finally:
        await redis.stop()


@asynccontextmanager
async def stock() -> AsyncIterator[Server]:
    """Strawberry as it comes."""
    port = free_port()
    async with _running("-m", "bench.stock", str(port), env={}) as pid:
        await _until_listening(port)
        yield Server(port, pid)


@asynccontextmanager
async def silent_payer() -> AsyncIterator[str]:
    """Something at a payer's address that takes every call and never answers; its URL."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def simulator(*, speed: float) -> AsyncIterator[str]:
    """The payer simulator; its URL."""
    port = free_port()
    async with _running("-m", "cli", "payer-sim", "--port", str(port), "--speed", str(speed), env={}):
        await _until_listening(port)
        yield f"http://127.0.0.1:{port}"


def cpu_seconds(pid: int) -> float:
    """What a process has computed until now, as Linux tells it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def until_ready(port: int) -> None:
    """Wait for `/readyz`, a minute at most."""
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(60):
        while True:
            with suppress(httpx.TransportError):
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.01)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def _role(role: str, data: Path, env: Mapping[str, str]) -> AsyncIterator[Server]:
    port = free_port()
    own = {"COVEY_DATA": str(data), "COVEY_LOG_LEVEL": "error", **env}
    async with _running("-m", "cli", role, "--port", str(port), env=own) as pid:
        yield Server(port, pid)


@asynccontextmanager
async def _running(*arguments: str, env: Mapping[str, str]) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env={**os.environ, **env})
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _until_listening(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)
