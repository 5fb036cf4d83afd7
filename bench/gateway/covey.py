"""Covey as it is served over Kafka and Redis, and a producer of its events."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.gateway.events import TENANT, event_at, request_events
from bench.gateway.pinned import One, Prepare, Publish, Served, pinned
from bench.gateway.topics import topics
from bench.servers import free_port, until_ready
from bus.clock import SystemClock
from bus.events import Topic
from bus.ids import random_id
from bus.kafka.records import KafkaRecords
from bus.kafka.security import KafkaLink
from bus.kafka.topics import log_plans, topic_name
from bus.sealing import PlainSealer
from delivery.caller import Role
from delivery.development_key import DevelopmentKey, sign_development_token

PARTITIONS: Final = 12


@asynccontextmanager
async def covey_under_load(
    services: Mapping[str, str], data: Path, *, program: Sequence[str] = ("cli", "serve")
) -> AsyncIterator[Served]:
    """A gateway on the servers' core. `program` is the module that is run, and its first arguments."""
    prefix = f"bench-{secrets.token_hex(4)}."
    async with covey_waiting(services, prefix) as (link, env):
        port = free_port()
        arguments = (*program, "--port", str(port), "--workers-in-process", "0")
        async with (
            pinned(sys.executable, "-m", *arguments, env={**env, "COVEY_DATA": str(data)}) as pid,
            covey_producer(link, prefix) as (prepare, one),
        ):
            await until_ready(port)
            yield Served(port, pid, prepare, one, token(data))


@asynccontextmanager
async def covey_waiting(services: Mapping[str, str], prefix: str) -> AsyncIterator[tuple[KafkaLink, Mapping[str, str]]]:
    """What a gateway needs before it is started: topics, and its settings."""
    link = KafkaLink(servers=tuple(services["kafka"].split(",")))
    plans = log_plans(partitions=PARTITIONS, replication=1, min_insync_replicas=1, retention_days=1, prefix=prefix)
    async with topics(link, plans):
        yield (
            link,
            {
                "COVEY_LOG": f"kafka://{services['kafka']}",
                "COVEY_STATE": services["redis"],
                "COVEY_TOPIC_PREFIX": prefix,
                "COVEY_TOPIC_PARTITIONS": str(PARTITIONS),
                "COVEY_TOPIC_REPLICATION": "1",
                "COVEY_TOPIC_MIN_IN_SYNC": "1",
                "COVEY_MAX_CONNECTIONS": "100000",
                "COVEY_CONNECTIONS_PER_SERVICE": "100000",
                "COVEY_CONNECTIONS_PER_ADDRESS": "100000",
                "COVEY_OPERATIONS_PER_SECOND": "100000",
                "COVEY_OPERATIONS_BURST": "100000",
                "COVEY_LOG_LEVEL": "error",
            },
        )


def token(data: Path) -> str:
    """A service's, signed by the development key of the data folder."""
    return sign_development_token(
        DevelopmentKey.in_folder(data),
        tenant_id=TENANT,
        roles=[Role.SERVICE],
        member_id=None,
        ttl_seconds=7200,
        now=SystemClock().now(),
        token_id=random_id(),
    )


@asynccontextmanager
async def covey_producer(link: KafkaLink, prefix: str) -> AsyncIterator[tuple[Prepare, One]]:
    """What publishes Covey's events."""
    producer = AIOKafkaProducer(bootstrap_servers=list(link.servers), max_batch_size=64 * 1024)
    records = KafkaRecords({Topic.RTE: PARTITIONS, Topic.PAYER: 1}, PlainSealer())

    def prepare(members: Sequence[int], first: int, end: int) -> Publish:
        batches: list[tuple[int, BatchBuilder]] = []
        filling: dict[int, BatchBuilder] = {}
        for request in range(first, end):
            for number in members:
                for event in request_events(number, request):
                    message = records.message(event)
                    parts = {"key": message.key, "value": message.value, "headers": message.headers, "timestamp": None}
                    partition = message.place.partition
                    if partition not in filling or filling[partition].append(**parts) is None:
                        filling[partition] = producer.create_batch()
                        batches.append((partition, filling[partition]))
                        filling[partition].append(**parts)

        async def publish() -> None:
            topic = topic_name(Topic.RTE, prefix)
            sent = [await producer.send_batch(batch, topic, partition=partition) for partition, batch in batches]
            await asyncio.gather(*sent)

        return publish

    def one(number: int, index: int) -> Publish:
        message = records.message(event_at(number, index))

        async def publish() -> None:
            await producer.send(
                topic_name(Topic.RTE, prefix),
                message.value,
                key=message.key,
                headers=message.headers,
                partition=message.place.partition,
            )

        return publish

    await producer.start()
    try:
        yield prepare, one
    finally:
        await producer.stop()
