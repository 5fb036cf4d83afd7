"""Covey as it is served over Kafka and Redis, and a producer of its events."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.gateway.events import TENANT, request_events
from bench.gateway.pinned import Prepare, Publish, Served, pinned
from bench.servers import free_port, until_ready
from bus.clock import SystemClock
from bus.events import Topic
from bus.ids import random_id
from bus.kafka.records import KafkaRecords
from bus.kafka.security import KafkaLink
from bus.kafka.topics import create_topics, log_plans, topic_name
from bus.sealing import PlainSealer
from delivery.caller import Role
from delivery.development_key import DevelopmentKey, sign_development_token

PARTITIONS: Final = 12


@asynccontextmanager
async def covey_under_load(
    services: Mapping[str, str], data: Path, prefix: str, core: int
) -> AsyncIterator[tuple[Served, str]]:
    """A gateway on one core, and a service's token."""
    link = KafkaLink(servers=tuple(services["kafka"].split(",")))
    plans = log_plans(partitions=PARTITIONS, replication=1, min_insync_replicas=1, retention_days=1, prefix=prefix)
    await create_topics(link, plans)
    port = free_port()
    env = {
        "COVEY_DATA": str(data),
        "COVEY_LOG": f"kafka://{services['kafka']}",
        "COVEY_STATE": services["redis"],
        "COVEY_TOPIC_PREFIX": prefix,
        "COVEY_TOPIC_PARTITIONS": str(PARTITIONS),
        "COVEY_TOPIC_REPLICATION": "1",
        "COVEY_TOPIC_MIN_IN_SYNC": "1",
        "COVEY_CONNECTIONS_PER_SERVICE": "100000",
        "COVEY_CONNECTIONS_PER_ADDRESS": "100000",
        "COVEY_OPERATIONS_PER_SECOND": "100000",
        "COVEY_OPERATIONS_BURST": "100000",
        "COVEY_LOG_LEVEL": "error",
    }
    try:
        async with (
            pinned(
                core, sys.executable, "-m", "cli", "serve", "--port", str(port), "--workers-in-process", "0", env=env
            ) as pid,
            _producer(link, prefix) as prepare,
        ):
            await until_ready(port)
            yield Served(port, pid, prepare), _token(data)
    finally:
        await _forget(link, [plan.name for plan in plans])


def _token(data: Path) -> str:
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
async def _producer(link: KafkaLink, prefix: str) -> AsyncIterator[Prepare]:
    producer = AIOKafkaProducer(bootstrap_servers=list(link.servers), linger_ms=2, max_batch_size=64 * 1024)
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

    await producer.start()
    try:
        yield prepare
    finally:
        await producer.stop()


async def _forget(link: KafkaLink, topics: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(link.servers))
    await admin.start()
    try:
        await admin.delete_topics(topics)
    finally:
        await admin.close()
