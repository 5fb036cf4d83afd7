"""Logs on the real Kafka of these tests, each on topics of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient

from bus.clock import SystemClock
from bus.events import Topic
from bus.ids import random_id
from bus.kafka.log import KafkaLog
from bus.kafka.reader import KafkaReader
from bus.kafka.security import KafkaLink
from bus.kafka.topics import create_topics, log_plans, topic_name
from bus.metrics import Metrics
from bus.reader import Sink

PARTITIONS: Final = 4


def link_to(address: str) -> KafkaLink:
    return KafkaLink(servers=tuple(address.split(",")))


@asynccontextmanager
async def new_topics(link: KafkaLink, *, partitions: int = PARTITIONS, replication: int = 1) -> AsyncIterator[str]:
    """Topics that nobody else uses, deleted afterwards; gives the prefix of their names."""
    prefix = f"test-{random_id()}."
    plans = log_plans(
        partitions=partitions, replication=replication, min_insync_replicas=1, retention_days=1, prefix=prefix
    )
    await create_topics(link, plans)
    try:
        yield prefix
    finally:
        await delete_topics(link, prefix)


async def delete_topics(link: KafkaLink, prefix: str) -> None:
    async with admin_of(link) as admin:
        await admin.delete_topics([topic_name(topic, prefix) for topic in Topic])


@asynccontextmanager
async def admin_of(link: KafkaLink) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(link.servers))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def open_kafka_log(
    link: KafkaLink, prefix: str, *, sinks: Sequence[Sink] = (), metrics: Metrics | None = None, **options: Any
) -> AsyncIterator[KafkaLog]:
    """A log with a reader; keyword arguments go to `KafkaLog.open`."""
    clock, metrics = SystemClock(), metrics or Metrics()
    log = await KafkaLog.open(link, clock=clock, metrics=metrics, prefix=prefix, **options)
    try:
        async with KafkaReader(link, log, sinks, metrics, clock, prefix=prefix):
            yield log
    finally:
        await log.close()
