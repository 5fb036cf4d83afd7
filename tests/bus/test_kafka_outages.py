"""A log whose brokers are stopped, frozen and killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection

from bus.errors import LogUnavailable
from bus.events import Event, Recorded, Topic
from bus.ids import MemberId, RequestId, TenantId
from bus.kafka.log import KafkaLog
from bus.kafka.security import KafkaLink
from bus.kafka.topics import create_topics, log_plans, topic_name
from bus.metrics import Metrics
from tests.bus.conftest import submitted
from tests.bus.elections import copies_of, known_everywhere, leaders_of, move_leaders
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


@pytest.fixture
async def three_brokers(
    tmp_path: Path, service_addresses: dict[str, str], request: pytest.FixtureRequest
) -> AsyncIterator[list[KafkaServer]]:
    """Settings of the brokers may be given as the fixture's parameter."""
    brokers = KafkaServer.cluster(tmp_path, 3)
    for broker in brokers:
        broker._properties |= getattr(request, "param", {})
    try:
        await asyncio.gather(*(broker.start() for broker in brokers))
        link = KafkaLink(servers=tuple(broker.address for broker in brokers))
        await create_topics(
            link, log_plans(partitions=6, replication=3, min_insync_replicas=2, retention_days=1, prefix="")
        )
        await known_everywhere(brokers[0].address, [topic_name(topic, "") for topic in Topic])
        yield brokers
    finally:
        for broker in brokers:
            broker.kill()


class _Taken:
    """A sink that refuses what comes twice or out of order."""

    def __init__(self) -> None:
        self.subjects: set[str] = set()
        self.partitions: dict[str, int] = {}
        self._reached: dict[tuple[Topic, int], int] = {}
        self._more = asyncio.Condition()

    async def take(self, batch: Sequence[Recorded]) -> None:
        async with self._more:
            for recorded in batch:
                place = (recorded.event.topic, recorded.partition)
                assert recorded.position > self._reached.get(place, 0)
                self._reached[place] = recorded.position
                self.subjects.add(recorded.event.subject)
                self.partitions[recorded.event.subject] = recorded.partition
            self._more.notify_all()

    async def have(self, subjects: set[str]) -> None:
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: subjects <= self.subjects)


async def test_one_broker_of_three_may_die_and_two_refuse_clearly(three_brokers: list[KafkaServer]) -> None:
    brokers = three_brokers
    link = KafkaLink(servers=tuple(broker.address for broker in brokers))
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


async def test_leaders_that_move_and_move_back_cost_no_event_and_bring_none_twice(
    three_brokers: list[KafkaServer],
) -> None:
    address = three_brokers[0].address
    link = KafkaLink(servers=tuple(broker.address for broker in three_brokers))
    taken, metrics, topic = _Taken(), Metrics(), topic_name(Topic.RTE, "")
    async with open_kafka_log(link, "", sinks=[taken], metrics=metrics) as log:
        accepted: set[str] = set()
        for turn in range(4):
            accepted |= {await written(log, f"r{turn}-{number}") for number in range(8)}
            before = await leaders_of(address, topic)
            moved = {number: leader % 3 + 1 for number, leader in before.items()}
            await move_leaders(address, topic, moved)
            accepted |= {await written(log, f"r{turn}-{number}") for number in range(8, 16)}
            await taken.have(accepted)
    assert len(set(taken.partitions.values())) == 6
    assert metrics.registry.get_sample_value("covey_reader_restarts_total", {"topic": "rte.events"}) in {None, 0}


@pytest.mark.parametrize("three_brokers", [{"broker.session.timeout.ms": "120000"}], indirect=True)
async def test_while_one_broker_of_three_is_frozen_the_others_are_read_and_all_is_once_it_is_thawed(
    three_brokers: list[KafkaServer],
) -> None:
    frozen, alive, _ = three_brokers
    link = KafkaLink(servers=tuple(broker.address for broker in three_brokers))
    # Of two copies: a write waits for no broker that has none.
    async with new_topics(link, partitions=6, replication=2) as prefix:
        await known_everywhere(alive.address, [topic_name(topic, prefix) for topic in Topic])
        taken, metrics, topic = _Taken(), Metrics(), topic_name(Topic.RTE, prefix)
        async with open_kafka_log(link, prefix, sinks=[taken], metrics=metrics) as log:
            names = {await written(log, f"before-{number}") for number in range(48)}
            await taken.have(names)
            copies = await copies_of(alive.address, topic)
            without = [name for name in sorted(names) if frozen.node_id not in copies[taken.partitions[name]]]
            led = [name for name in sorted(names) if copies[taken.partitions[name]][0] == frozen.node_id]
            frozen.freeze()
            waiting = [
                asyncio.create_task(written(log, f"waiting-{number}", member=f"m-{name}"))
                for number, name in enumerate(led[:4])
            ]
            for number in range(20):
                again = await written(log, f"again-{number}", member=f"m-{without[number % len(without)]}")
                await taken.have({again})
            assert not any(task.done() for task in waiting)
            frozen.thaw()
            await taken.have(set(await asyncio.gather(*waiting)))
        assert metrics.registry.get_sample_value("covey_reader_restarts_total", {"topic": "rte.events"}) in {None, 0}


async def test_what_a_frozen_broker_led_is_read_from_the_next_leader_and_from_it_again_later(
    three_brokers: list[KafkaServer],
) -> None:
    frozen, alive, _ = three_brokers
    link = KafkaLink(servers=tuple(broker.address for broker in three_brokers))
    taken, topic = _Taken(), topic_name(Topic.RTE, "")
    await move_leaders(alive.address, topic, dict.fromkeys(range(6), frozen.node_id))
    async with open_kafka_log(link, "", sinks=[taken]) as log:
        accepted = {await written(log, f"before-{number}") for number in range(12)}
        await taken.have(accepted)
        frozen.freeze()
        accepted |= {await written(log, f"without-{number}") for number in range(12)}
        await taken.have(accepted)
        frozen.thaw()
        await move_leaders(alive.address, topic, dict.fromkeys(range(6), frozen.node_id))
        accepted |= {await written(log, f"after-{number}") for number in range(12)}
        await taken.have(accepted)


async def written(log: KafkaLog, request_id: str, *, member: str | None = None) -> str:
    """Try again until it is accepted, as a writer does that may not forget."""
    async with asyncio.timeout(60):
        while True:
            try:
                await log.append([submitted(request_id, member=member or f"m-{request_id}")])
            except LogUnavailable:
                await asyncio.sleep(0.1)
            else:
                return request_id


@pytest.fixture
async def own_broker(tmp_path: Path, service_addresses: dict[str, str]) -> AsyncIterator[KafkaServer]:
    server = KafkaServer(tmp_path / "kafka")
    await server.start()
    yield server
    server.kill()


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
        subjects: list[str] = []
        after = 0
        while found := await log.read_member(T1, M1, after=after, limit=10):  # in parts: the reader may be late
            subjects += [one.event.subject for one in found]
            after = found[-1].position
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
