"""Topics of one run's own, on the Kafka of `scripts/services`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient

from bus.kafka.security import KafkaLink
from bus.kafka.topics import TopicPlan, create_topics


@asynccontextmanager
async def topics(link: KafkaLink, plans: Sequence[TopicPlan]) -> AsyncIterator[None]:
    """They are there within, and deleted afterwards."""
    await create_topics(link, plans)
    try:
        yield
    finally:
        admin = AIOKafkaAdminClient(bootstrap_servers=list(link.servers))
        await admin.start()
        try:
            await admin.delete_topics([plan.name for plan in plans])
        finally:
            await admin.close()
