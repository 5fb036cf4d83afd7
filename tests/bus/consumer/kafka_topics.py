"""Topics of one test on the real Kafka: under a prefix of their own, deleted afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from bus.consumer import GroupTopics, Handlers, Retries, group_plans, group_topics
from bus.events import Event, Topic
from bus.ids import random_id
from bus.kafka.records import KafkaRecords
from bus.kafka.security import KafkaLink, client_options
from bus.kafka.topics import create_topics, log_plans, topic_name
from bus.kafka.writer import KafkaWriter
from bus.sealing import PlainSealer

PARTITIONS = 3


@dataclass(frozen=True)
class Topics:
    link: KafkaLink
    prefix: str

    async def publish(self, *events: Event) -> None:
        records = KafkaRecords({Topic.RTE: PARTITIONS, Topic.PAYER: 1}, PlainSealer())
        writer = KafkaWriter(client_options(self.link), {topic: topic_name(topic, self.prefix) for topic in Topic})
        await writer.write([records.message(event) for event in events])
        await writer.close()

    async def add_group(self, handlers: Handlers, group: str, retries: Retries) -> GroupTopics:
        """The group's own topics; which they are, beside `rte.events`."""
        own = group_topics(handlers, group, self.prefix)
        await create_topics(self.link, group_plans(_plans(self.prefix), own, retries))
        return GroupTopics(topic_name(Topic.RTE, self.prefix), group)

    async def read(self, topic: str) -> Sequence[ConsumerRecord]:
        """All records that are in the topic now."""
        client: Any = AIOKafkaConsumer(**client_options(self.link), auto_offset_reset="earliest")
        await client.start()
        try:
            await client._client.force_metadata_update()
            parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            client.assign(parts)
            wanted = sum((await client.end_offsets(parts)).values())
            found: list[ConsumerRecord] = []
            while len(found) < wanted:
                for batch in (await client.getmany(timeout_ms=200)).values():
                    found += batch
            return found
        finally:
            await client.stop()

    async def committed(self, group: str) -> int:
        """Over all partitions of `rte.events`."""
        admin = AIOKafkaAdminClient(**client_options(self.link))
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()
        source = topic_name(Topic.RTE, self.prefix)
        return sum(each.offset for partition, each in offsets.items() if partition.topic == source)


def _plans(prefix: str) -> Any:
    return log_plans(partitions=PARTITIONS, replication=1, min_insync_replicas=1, retention_days=1, prefix=prefix)


@asynccontextmanager
async def kafka_topics(address: str) -> AsyncIterator[Topics]:
    link = KafkaLink(servers=tuple(address.split(",")))
    prefix = f"t{random_id()}."
    await create_topics(link, _plans(prefix))
    try:
        yield Topics(link, prefix)
    finally:
        admin = AIOKafkaAdminClient(**client_options(link))
        await admin.start()
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
        await admin.close()
