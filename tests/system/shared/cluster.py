"""Covey's processes over one Kafka and one Redis, each the real command; addressed, killed and frozen one by one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx

from bus.ids import random_id
from bus.kafka.security import KafkaLink
from bus.kafka.topics import create_topics
from settings import load
from tests.bus.kafka_logs import delete_topics
from tests.services.redis import RedisServer
from tests.system.issuer import Issuer
from tests.system.program import Ended, Process, ended, free_port, readiness, simulator
from tests.system.shared.roaming import Roaming
from wiring.shared import kafka_link, topic_plans

SPEED: Final = 60
"""Simulated times are divided by this: the vendor's hold of 120 s lasts two."""
SHORT: Final = {
    "lease_seconds": "4",
    "call_timeout_seconds": "2.5",
    "breaker_open_seconds": "1",
    "redis_lag_seconds": "1",
    "drain_seconds": "3",
}
"""Times that go with it."""


class Instance:
    """One process, under one name and port over all its lives."""

    def __init__(self, role: str, folder: Path, env: Mapping[str, str]) -> None:
        self.role = role
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._env = env
        self.process: Process | None = None

    async def start(self, *, ready: bool = True) -> Self:
        """Start it; returns once it is ready, or at once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.process = await Process.start(self.role, "--port", str(self.port), env=self._env, folder=self._folder)
        if ready:
            await self.process.until_answering(f"{self.url}/readyz")
        return self

    async def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            await self.process.kill()

    async def stop(self) -> int:
        """Ask it to end; its exit code."""
        assert self.process is not None
        return await self.process.stop()

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP freezes it with all its connections open, SIGCONT wakes it."""
        assert self.process is not None
        self.process.process.send_signal(number)

    async def readyz(self, status: int) -> dict[str, Any]:
        """What it says once it answers with this status."""
        return await readiness(self.url, status)

    def written(self) -> str:
        """What it wrote to stdout and stderr, over all its lives."""
        return (self._folder / f"{self.role}.stderr").read_text()


class Cluster:
    """Made by `cluster`."""

    def __init__(self, folder: Path, env: dict[str, str], issuer: Issuer, payer_url: str, prefix: str) -> None:
        self.env = env
        self.payer_url = payer_url
        self.prefix = prefix
        self.issuer = issuer
        self.instances: list[Instance] = []
        self._folder = folder
        self._clients: list[Roaming] = []

    def new(self, role: str, env: Mapping[str, str] | None = None) -> Instance:
        """An instance that does not run yet; `env` it has for itself."""
        instance = Instance(role, self._folder / f"{role}-{len(self.instances) + 1}", {**self.env, **(env or {})})
        self.instances.append(instance)
        return instance

    async def serve(self) -> Instance:
        """One more gateway, ready."""
        return await self.new("serve").start()

    async def worker(self) -> Instance:
        """One more worker, ready."""
        return await self.new("worker").start()

    async def run(self, *arguments: str, seconds: float = 30) -> Ended:
        """A command that ends by itself, with the same settings."""
        return await ended(*arguments, env=self.env, seconds=seconds)

    def client(
        self, *gateways: Instance, member: str = "-", tenant: str = "t-1", role: str = "service", **claims: Any
    ) -> Roaming:
        """Somebody who starts at the first gateway and goes to the next one after each cut; `claims` as Issuer's."""
        bearer = self.issuer.token(member, tenant=tenant, role=role, **claims)
        client = Roaming([gateway.port for gateway in gateways], bearer)
        self._clients.append(client)
        return client

    async def stats(self) -> dict[str, Any]:
        """What the payer's side counted."""
        async with httpx.AsyncClient() as http:
            return dict((await http.get(f"{self.payer_url}/sim/stats")).json())

    async def close(self) -> None:
        """End what still runs."""
        for client in self._clients:
            await client.close()
        await asyncio.gather(*(instance.kill() for instance in self.instances))


@asynccontextmanager
async def cluster(
    folder: Path,
    kafka: str,
    redis: str,
    *,
    replication: int = 1,
    speed: float = SPEED,
    keep: bool = False,
    links: Mapping[str, str] | None = None,
    **given: str,
) -> AsyncIterator[Cluster]:
    """Topics of its own, and a simulator; nothing else runs yet.

    `links` and `given` are settings by name without COVEY_; with `keep` the topics are left to a Kafka that is thrown
    away itself.
    """
    prefix = f"test-{random_id()[:12]}."
    issuer = Issuer()
    async with AsyncExitStack() as stack:
        payer_url = await stack.enter_async_context(simulator(speed=speed))
        settings = {
            "log": f"kafka://{kafka}",
            "state": redis,
            "data": str(folder / "data"),
            "payer_url": payer_url,
            "topic_prefix": prefix,
            "topic_partitions": "6",
            "topic_replication": str(replication),
            "topic_min_in_sync": str(min(replication, 2)),
            "jwt_public_key": issuer.public_key,
            "log_level": "warning",
            **SHORT,
            **(links or {}),
            **given,
        }
        env = {f"COVEY_{name.upper()}": value for name, value in settings.items()}
        if links is None:
            settled = load(**settings)
            await create_topics(kafka_link(settled), topic_plans(settled))
        else:  # as an operator does it, over the links that are on trial
            made = await ended("topics", "create", env=env)
            assert made.code == 0, made.err
        if not keep:
            stack.push_async_callback(delete_topics, KafkaLink(servers=tuple(kafka.split(","))), prefix)
        together = Cluster(folder, env, issuer, payer_url, prefix)
        stack.push_async_callback(together.close)
        yield together


@asynccontextmanager
async def own_redis(folder: Path) -> AsyncIterator[RedisServer]:
    """A Redis to kill, to empty, to look into."""
    server = RedisServer(folder / "redis")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
