from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from structlog.testing import capture_logs

from bus.clock import SystemClock
from bus.errors import LogCorrupt
from bus.events import Recorded, Topic
from bus.ids import MemberId, TenantId
from bus.kafka.batches import decoded
from bus.kafka.fetching import FetchSession
from bus.kafka.log import KafkaLog
from bus.kafka.reader import KafkaReader
from bus.kafka.security import KafkaLink
from bus.kafka.topics import topic_name
from bus.metrics import Metrics
from tests.bus.conftest import downtime, submitted
from tests.bus.kafka_logs import link_to, new_topics

pytestmark = pytest.mark.services


class _Taken:
    """A sink that keeps what it takes, and fails as often as it is told."""

    def __init__(self, *, failures: int = 0) -> None:
        self.subjects: list[str] = []
        self._reached: dict[tuple[Topic, int], int] = {}
        self._failures = failures
        self._more = asyncio.Event()

    async def take(self, batch: Sequence[Recorded]) -> None:
        if self._failures:
            self._failures -= 1
            raise ValueError("Ana Rivera")
        for recorded in batch:
            place = (recorded.event.topic, recorded.partition)
            assert recorded.position > self._reached.get(place, 0)
            self._reached[place] = recorded.position
        self.subjects += [recorded.event.subject for recorded in batch]
        self._more.set()

    async def have(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.subjects) < count:
                self._more.clear()
                await self._more.wait()


class _World:
    def __init__(self, link: KafkaLink, prefix: str, log: KafkaLog, metrics: Metrics) -> None:
        self.log = log
        self.metrics = metrics
        self._link = link
        self._prefix = prefix

    def reader(self, *sinks: _Taken, stall_seconds: float = 10) -> KafkaReader:
        return KafkaReader(
            self._link,
            self.log,
            sinks,
            self.metrics,
            SystemClock(),
            prefix=self._prefix,
            check_seconds=0.05,
            stall_seconds=stall_seconds,
        )

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"topic": "rte.events"})


@pytest.fixture
async def world(kafka_address: str) -> AsyncIterator[_World]:
    link = link_to(kafka_address)
    async with new_topics(link) as prefix:
        metrics = Metrics()
        log = await KafkaLog.open(link, clock=SystemClock(), metrics=metrics, prefix=prefix)
        yield _World(link, prefix, log, metrics)
        await log.close()


async def test_every_partition_and_topic_reaches_every_sink_each_member_in_order(world: _World) -> None:
    one, other = _Taken(), _Taken()
    async with world.reader(one, other) as reader:
        members = [f"m{number % 7}" for number in range(40)]
        for number, member in enumerate(members):
            await world.log.append([submitted(f"{member}-{number:02}", member=member)])
        await world.log.append([downtime("p1")])
        await one.have(41)
        await other.have(41)
        for member in set(members):
            own = [subject for subject in one.subjects if subject.startswith(member)]
            assert own == sorted(own)
        assert len({place.partition for place, at in reader.positions.items() if at}) > 1
        assert await reader.caught_up()
        assert reader.stalled_seconds == 0
    assert world.metric("covey_reader_lag_events") == 0


async def test_a_sink_that_fails_gets_the_same_events_again_and_nothing_is_told_of_them(world: _World) -> None:
    failing = _Taken(failures=2)
    with capture_logs() as logs:
        async with world.reader(failing):
            await world.log.append([submitted("r1")])
            await failing.have(1)
            await world.log.append([submitted("r2")])
            await failing.have(2)
    assert failing.subjects == ["r1", "r2"]
    assert world.metric("covey_reader_restarts_total") == 2
    assert "Rivera" not in str(logs)


async def test_the_watchdog_restarts_a_session_that_stopped_without_an_error(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FetchSession.next
    frozen: list[FetchSession] = []

    async def next_(session: FetchSession) -> object:
        if not frozen:
            frozen.append(session)
        if session in frozen:
            await asyncio.Event().wait()
        return await original(session)

    monkeypatch.setattr(FetchSession, "next", next_)
    taken = _Taken()
    async with world.reader(taken, stall_seconds=0.5) as reader:
        await world.log.append([submitted("r1")])
        await taken.have(1)
        assert await reader.caught_up()
    assert world.metric("covey_reader_restarts_total") == 1


async def test_a_reader_that_is_behind_says_how_far_and_since_when(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(FetchSession, "next", silent)
    async with world.reader() as reader:
        await world.log.append([submitted("r1"), submitted("r2")])
        assert not await reader.caught_up()
        assert world.metric("covey_reader_lag_events") == 2
        await asyncio.sleep(0.01)
        assert reader.stalled_seconds > 0


async def test_what_another_process_writes_is_taken_too(world: _World, kafka_address: str) -> None:
    taken = _Taken()
    async with world.reader(taken):
        span = await world.log.payers_span()
        other = await KafkaLog.open(
            link_to(kafka_address), clock=SystemClock(), metrics=Metrics(), prefix=world._prefix
        )
        await other.append([downtime("p1")])
        await taken.have(1)
        await other.close()
        assert (await world.log.payers_span()).end == span.end + 1
        assert [one.event.topic for one in await world.log.latest_per_payer()] == [Topic.PAYER]


async def test_a_broker_that_forgot_the_session_is_read_on_from_the_same_place(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, forgotten = _Taken(), [False]
    original = FetchSession.next

    async def next_(session: FetchSession) -> object:
        if taken.subjects and not forgotten[0]:
            forgotten[0] = True
            session._id += 1  # as one that the broker does not know any more
        return await original(session)

    monkeypatch.setattr(FetchSession, "next", next_)
    async with world.reader(taken):
        for number in range(6):
            await world.log.append([submitted(f"r{number}", member=f"m{number}")])
        await taken.have(6)
        await asyncio.sleep(0.1)
    assert sorted(taken.subjects) == [f"r{number}" for number in range(6)]
    assert forgotten == [True]
    assert world.metric("covey_reader_restarts_total") in {None, 0}


async def test_what_does_not_fit_into_one_answer_comes_with_the_next(world: _World) -> None:
    taken = _Taken()
    large = [submitted(f"r{number}", member=f"m{number % 3}", last_name="x" * 40_000) for number in range(40)]
    await asyncio.gather(*(world.log.append([event]) for event in large))
    async with world.reader(taken):
        await taken.have(40)
    assert sorted(taken.subjects) == sorted(event.subject for event in large)


async def test_a_fetch_that_waits_lets_no_other_request_wait(
    world: _World, kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.kafka.fetching._WAIT_MILLISECONDS", 30_000)
    topic = topic_name(Topic.RTE, world._prefix)
    client = AIOKafkaClient(bootstrap_servers=kafka_address)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        partition = TopicPartition(topic, 0)
        session = FetchSession(client, client.cluster.leader_for_partition(partition), {partition: 0})
        await client.force_metadata_update()  # both connections stand
        waiting = asyncio.create_task(session.next())
        await asyncio.sleep(0.5)  # the broker has it, whatever else is to be done
        await client.force_metadata_update()
        assert not waiting.done()
        waiting.cancel()
    finally:
        await client.close()


async def test_a_damaged_answer_is_no_event_for_whoever_seeks(world: _World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.log.append([submitted("r1", member="m1")])
    monkeypatch.setattr("bus.kafka.client.decoded", lambda encoded, offset: decoded(encoded[:-3] + b"???", offset))
    with pytest.raises(LogCorrupt):
        await world.log.read_member(TenantId("t1"), MemberId("m1"), after=0, limit=10)
