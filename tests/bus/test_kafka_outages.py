"""A log whose brokers are stopped, frozen and killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection

from bus.errors import LogUnavailable
from bus.events import Event
from bus.ids import MemberId, RequestId, TenantId
from bus.kafka.log import KafkaLog
from bus.kafka.security import KafkaLink
from bus.kafka.topics import create_topics, log_plans
from tests.bus.conftest import submitted
from tests.bus.kafka_logs import link_to, new_topics, open_kafka_log
from tests.services.kafka import KafkaServer

T1, M1 = TenantId("t1"), MemberId("m1")
pytestmark = [pytest.mark.services, pytest.mark.slow]


@pytest.fixture(autouse=True)
async def closed_connections(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """aiokafka forgets a connection that broke without closing it; done here, while the test's loop still runs."""
    writers: list[asyncio.StreamWriter] = []
    connect = AIOKafkaConnection.connect

    async def noted(connection: Any) -> Any:
        reader, writer = await connect(connection)
        writers.append(writer)
        return reader, writer

    monkeypatch.setattr(AIOKafkaConnection, "connect", noted)
    yield
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)


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
                found = await log.read_member(T1, member, after=0, limit=10)
                assert request_id in {one.event.subject for one in found}
    finally:
        for broker in brokers:
            await broker.stop()


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


@pytest.fixture
async def own_broker(tmp_path: Path, service_addresses: dict[str, str]) -> AsyncIterator[KafkaServer]:
    server = KafkaServer(tmp_path / "kafka")
    await server.start()
    yield server
    server.thaw()
    await server.stop()


async def test_a_stopped_broker_refuses_and_what_was_refused_does_not_turn_up_later(own_broker: KafkaServer) -> None:
    link = link_to(own_broker.address)
    async with new_topics(link) as prefix, open_kafka_log(link, prefix) as log:
        assert await taken(log, submitted("r1"))
        await own_broker.stop()
        for events in ([submitted("r2")], []):
            async with asyncio.timeout(6):  # the bar is 5 s; the rest is for a busy machine
                with pytest.raises(LogUnavailable):
                    await log.append(events)
        assert [one.event.subject for one in await log.read_member(T1, M1, after=0, limit=10)] == ["r1"]
        await own_broker.start()
        async with asyncio.timeout(60):
            while not await taken(log, submitted("r3")):  # noqa: ASYNC110 - a server's doing
                await asyncio.sleep(0.1)
        subjects = [one.event.subject for one in await log.read_member(T1, M1, after=0, limit=10)]
        assert "r2" not in subjects
        assert subjects[-1] == "r3"


async def test_a_frozen_broker_refuses_in_time_and_is_used_again(own_broker: KafkaServer) -> None:
    link = link_to(own_broker.address)
    async with new_topics(link) as prefix, open_kafka_log(link, prefix) as log:
        assert await taken(log, submitted("r1"))
        own_broker.freeze()
        async with asyncio.timeout(6):
            with pytest.raises(LogUnavailable):
                await log.append([submitted("r2")])
        own_broker.thaw()
        async with asyncio.timeout(60):
            while not await taken(log, submitted("r3")):  # noqa: ASYNC110 - a server's doing
                await asyncio.sleep(0.1)
        assert await log.read_request(RequestId("r3"))


async def taken(log: KafkaLog, event: Event) -> bool:
    try:
        return await log.append([event]) != [None]
    except LogUnavailable:
        return False
