"""The rivals, each on the servers' core, and how events reach them."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaProducer

from bench.gateway.events import event_at, member, plain, request_events
from bench.gateway.pinned import Publish, Served, pinned, until_listening
from bench.gateway.topics import topics
from bench.servers import free_port
from bus.events import Event
from bus.kafka.security import KafkaLink
from bus.kafka.topics import TopicPlan

_PARTITIONS: Final = 12


@asynccontextmanager
async def rival_fed_by_lines(system: str) -> AsyncIterator[Served]:
    """A rival that is told its events over a socket: it costs the rival less than Kafka would."""
    feeds: list[asyncio.StreamWriter] = []
    joined = asyncio.Event()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        feeds.append(writer)
        joined.set()

    def prepare(members: Sequence[int], first: int, end: int) -> Publish:
        lines = [
            _line(number, event)
            for request in range(first, end)
            for number in members
            for event in request_events(number, request)
        ]
        parts = [b"".join(lines[start : start + 100]) for start in range(0, len(lines), 100)]

        async def publish() -> None:
            for part in parts:
                feeds[0].write(part)
                await feeds[0].drain()

        return publish

    def one(number: int, index: int) -> Publish:
        line = _line(number, event_at(number, index))

        async def publish() -> None:
            feeds[0].write(line)

        return publish

    async with await asyncio.start_server(take, "127.0.0.1") as server:
        port, feed = free_port(), server.sockets[0].getsockname()[1]
        async with pinned(*_command(system), str(port), str(feed)) as pid:
            await until_listening(port)
            await joined.wait()
            yield Served(port, pid, prepare, one)
            for writer in feeds:
                writer.close()


@asynccontextmanager
async def rival_fed_by_kafka(system: str, services: Mapping[str, str]) -> AsyncIterator[Served]:
    """A rival in Python that reads its events from Kafka, as Covey does: for where times are compared."""
    link = KafkaLink(servers=tuple(services["kafka"].split(",")))
    topic = f"bench-{secrets.token_hex(4)}.plain"
    plan = TopicPlan(name=topic, partitions=_PARTITIONS, replication=1, min_insync_replicas=1, retention_days=1)
    producer = AIOKafkaProducer(bootstrap_servers=list(link.servers))

    def one(number: int, index: int) -> Publish:
        line = _line(number, event_at(number, index))

        async def publish() -> None:
            await producer.send(topic, line, partition=number % _PARTITIONS)

        return publish

    def prepare(members: Sequence[int], first: int, end: int) -> Publish:
        raise NotImplementedError("Floods go to rivals as lines.")

    async with topics(link, [plan]):
        await producer.start()
        try:
            port = free_port()
            async with pinned(*_command(system), str(port), f"{services['kafka']}/{topic}") as pid:
                await until_listening(port)
                yield Served(port, pid, prepare, one)
        finally:
            await producer.stop()


def _command(system: str) -> tuple[str, ...]:
    if system == "node":
        return "node", "bench/gateway/node_server.mjs"
    return sys.executable, "-m", f"bench.gateway.{system}_server"


def _line(number: int, event: Event) -> bytes:
    return member(number).encode() + b" " + plain(event)
