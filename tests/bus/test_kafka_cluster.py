"""A log on three brokers, of which some are killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bus.errors import LogUnavailable
from bus.ids import MemberId, TenantId
from bus.kafka_log import KafkaLog
from bus.kafka_security import KafkaLink
from bus.kafka_topics import create_topics, log_plans
from tests.bus.conftest import submitted
from tests.bus.kafka_logs import BROKERS_DIE, collect, open_kafka_log
from tests.services.kafka import KafkaServer

pytestmark = [pytest.mark.services, pytest.mark.slow, *BROKERS_DIE]


async def test_one_broker_of_three_may_die_and_two_refuse_clearly(
    tmp_path: Path, service_addresses: dict[str, str]
) -> None:
    brokers = KafkaServer.cluster(tmp_path, 3)
    try:
        await asyncio.gather(*(broker.start() for broker in brokers))
        link = KafkaLink(servers=tuple(broker.address for broker in brokers))
        await create_topics(
            link, log_plans(partitions=6, replication=3, min_insync_replicas=2, retention_days=1, prefix="")
        )
        async with open_kafka_log(link, "") as log:
            accepted = [await written(log, f"before-{number}") for number in range(12)]
            brokers[0].kill()
            accepted += [await written(log, f"without-{number}") for number in range(12)]
            brokers[1].kill()
            async with asyncio.timeout(6):
                with pytest.raises(LogUnavailable):
                    await log.append([submitted("refused")])
            await asyncio.gather(brokers[0].start(), brokers[1].start())
            accepted += [await written(log, f"after-{number}") for number in range(12)]
            for request_id in accepted:
                member = MemberId(f"m-{request_id}")
                found = await log.read_member(TenantId("t1"), member, after=0, limit=10)
                assert request_id in {one.event.subject for one in found}
    finally:
        for broker in brokers:
            await broker.stop()
        collect()


async def written(log: KafkaLog, request_id: str) -> str:
    """Try again until it is accepted, as a writer does that may not forget."""
    async with asyncio.timeout(60):
        while True:
            try:
                await log.append([submitted(request_id, member=f"m-{request_id}")])
            except LogUnavailable:
                await asyncio.sleep(0.1)
            else:
                return request_id
