from __future__ import annotations

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from bus.errors import LogUnavailable
from bus.ids import random_id
from bus.kafka.security import KafkaLink
from bus.kafka.topics import Drift, TopicPlan, check_topics, create_topics, log_plans
from tests.bus.kafka_logs import admin_of, delete_topics, link_to

pytestmark = pytest.mark.services


def plans(prefix: str, *, partitions: int = 3, days: float = 30) -> tuple[TopicPlan, ...]:
    return log_plans(partitions=partitions, replication=1, min_insync_replicas=1, retention_days=days, prefix=prefix)


async def test_missing_topics_are_named_made_once_and_then_as_planned(kafka_address: str) -> None:
    link, prefix = link_to(kafka_address), f"test-{random_id()}."
    rte, payer = f"{prefix}rte.events", f"{prefix}payer.events"
    try:
        missing = await check_topics(link, plans(prefix))
        assert [(drift.topic, drift.what) for drift in missing] == [(rte, "missing"), (payer, "missing")]
        made = await create_topics(link, plans(prefix))
        assert (made.created, made.drifts) == ((rte, payer), ())
        assert await check_topics(link, plans(prefix)) == []
        again = await create_topics(link, plans(prefix))
        assert (again.created, again.drifts) == ((), ())
    finally:
        await delete_topics(link, prefix)


async def test_drift_is_named_and_never_mended(kafka_address: str) -> None:
    link, prefix = link_to(kafka_address), f"test-{random_id()}."
    rte, payer = f"{prefix}rte.events", f"{prefix}payer.events"
    await create_topics(link, plans(prefix))
    try:
        others = plans(prefix, partitions=5, days=7)
        named = [
            Drift(topic=rte, what="partitions", planned="5", found="3"),
            Drift(topic=rte, what="retention.ms", planned="604800000", found="2592000000"),
            Drift(topic=payer, what="retention.ms", planned="604800000", found="2592000000"),
        ]
        assert await check_topics(link, others) == named
        assert (await create_topics(link, others)).drifts == tuple(named)
        assert await check_topics(link, plans(prefix)) == []
    finally:
        await delete_topics(link, prefix)


@pytest.mark.parametrize(("found", "drifts"), [(1_048_588, 1), (16 * 1024 * 1024, 0)])
async def test_topics_that_take_less_than_an_answer_are_named(kafka_address: str, found: int, drifts: int) -> None:
    link, prefix = link_to(kafka_address), f"test-{random_id()}."
    await create_topics(link, plans(prefix))
    try:
        async with admin_of(link) as admin:
            largest = {"max.message.bytes": str(found), "retention.ms": "2592000000"}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, f"{prefix}rte.events", largest)])
        named = await check_topics(link, plans(prefix))
        assert [(drift.what, drift.found) for drift in named] == [("max.message.bytes", str(found))] * drifts
    finally:
        await delete_topics(link, prefix)


async def test_what_the_cluster_refuses_is_said(kafka_address: str) -> None:
    impossible = log_plans(
        partitions=1, replication=9, min_insync_replicas=1, retention_days=1, prefix=f"test-{random_id()}."
    )
    with pytest.raises(LogUnavailable, match="replicat"):
        await create_topics(link_to(kafka_address), impossible)


async def test_a_cluster_that_is_not_there_is_said() -> None:
    with pytest.raises(LogUnavailable, match=r"No Kafka answers at 127.0.0.1:1"):
        await check_topics(KafkaLink(servers=("127.0.0.1:1",)), plans("test."))
