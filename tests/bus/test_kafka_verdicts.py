"""What counts is told in time, and at little cost, however late the reader and the view of history are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import pytest

from bus.errors import LogUnavailable, StateUnavailable
from bus.events import Event, Recorded, Topic
from bus.history import History
from bus.ids import MemberId, RequestId, TenantId
from bus.kafka.reading import KafkaReading
from bus.kafka.records import KafkaRecords, Place
from bus.kafka.seeking import Matches, Stretch
from bus.kafka.tail import KafkaTail
from bus.kafka.verdicts import Verdicts
from bus.sealing import PlainSealer
from tests.bus.conftest import enqueued, submitted
from tests.virtual_time import run_virtually

PLACE = Place(Topic.RTE, 0)
FIRST_READ = 1_000
"""Where this process began to read."""


class _Kafka:
    """A partition of which a stretch at the end is known; tells which stretches were asked for."""

    def __init__(self, events: Sequence[Recorded] = (), *, away: bool = False) -> None:
        self.events = events
        self.away = away
        self.asked: list[tuple[int, int]] = []

    async def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        raise NotImplementedError

    async def floors(self, places: Iterable[Place]) -> dict[Place, int]:
        raise NotImplementedError

    async def read(self, place: Place, *, after: int, through: int, limit: int, matches: Matches) -> Stretch:
        self.asked.append((after, through))
        if self.away:
            await asyncio.sleep(3)
            raise LogUnavailable("Kafka does not answer now.")
        return Stretch(events=[one for one in self.events if after < one.position <= through], through=through, floor=0)


class _View:
    """Knows the first events of some requests; away, or without an answer."""

    def __init__(self, *firsts: Recorded, away: bool = False, silent: bool = False) -> None:
        self._firsts = {one.event.request_id: one for one in firsts}
        self._away = away
        self._silent = silent
        self.left = 0

    async def of_member(
        self, tenant_id: TenantId, member_id: MemberId, partition: int, *, after: int, limit: int
    ) -> History:
        raise NotImplementedError

    async def of_request(self, request_id: RequestId, *, after: int = 0) -> History | None:
        if self._away:
            raise StateUnavailable("Redis is away.")
        if self._silent:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                self.left += 1
                raise
        first = self._firsts.get(request_id)
        return None if first is None else History(events=(first,), after=0, through=first.position)


class _Log:
    """What a log on Kafka has, after it wrote; nothing of what it wrote was read again yet."""

    def __init__(self, kafka: _Kafka, view: _View | None, events: Sequence[Event]) -> None:
        self.written = [Recorded(position=FIRST_READ + at, event=event) for at, event in enumerate(events, start=1)]
        kafka.events = [*kafka.events, *self.written]
        starts = {PLACE: FIRST_READ, Place(Topic.PAYER, 0): 0}
        self.tail = KafkaTail(starts, max_events=100, max_bytes=1_000_000)
        self.reading = KafkaReading(
            records=KafkaRecords({Topic.RTE: 1, Topic.PAYER: 1}, PlainSealer()),
            seeker=kafka,
            tail=self.tail,
            history=view,
            ends={PLACE: FIRST_READ + len(events), Place(Topic.PAYER, 0): 0},
            floors={PLACE: 0, Place(Topic.PAYER, 0): 0},
        )
        self.verdicts = Verdicts(self.reading, self.tail)

    async def judged(self, *, ids_are_new: bool = False) -> tuple[Sequence[bool], float]:
        """The verdicts, and how many seconds they took."""
        loop = asyncio.get_running_loop()
        async with self.verdicts.asked([one.event for one in self.written], ids_are_new=ids_are_new) as judge:
            began = loop.time()
            return await judge(self.written), loop.time() - began


def test_of_ids_that_were_just_made_nobody_is_asked_or_waited_for() -> None:
    kafka = _Kafka()
    log = _Log(kafka, _View(silent=True), [submitted("r1"), submitted("r2")])
    assert run_virtually(log.judged(ids_are_new=True)) == ([True, True], 0.0)
    assert kafka.asked == []


def test_a_late_reader_makes_nobody_read_the_partition_from_its_beginning() -> None:
    kafka = _Kafka()
    log = _Log(kafka, _View(), [submitted("r1"), submitted("r2"), submitted("r1")])
    assert run_virtually(log.judged()) == ([True, True, False], 0.5)
    assert min(after for after, _ in kafka.asked) == FIRST_READ


@pytest.mark.parametrize("view", [_View(away=True), None])
def test_without_a_view_an_old_request_is_found_in_kafka(view: _View | None) -> None:
    kafka = _Kafka([Recorded(position=7, event=submitted("r1"))])
    log = _Log(kafka, view, [submitted("r1"), submitted("r2")])
    verdicts, _ = run_virtually(log.judged())
    assert verdicts == [False, True]


def test_what_the_view_knows_of_long_ago_was_first() -> None:
    kafka = _Kafka()
    log = _Log(kafka, _View(Recorded(position=7, event=submitted("r1"))), [submitted("r1")])
    verdicts, _ = run_virtually(log.judged())
    assert verdicts == [False]
    assert kafka.asked == []
    asyncio.run(log.tail.take(log.written))
    assert log.tail.of_request(RequestId("r1")) is None  # it is the view's to tell from here on too


def test_many_events_wait_for_a_late_reader_and_a_silent_view_no_longer_than_one() -> None:
    for view in (_View(silent=True), _View()):
        log = _Log(_Kafka(), view, [submitted(f"r{number}") for number in range(40)])
        assert run_virtually(log.judged()) == ([True] * 40, 0.5)


def test_a_kafka_that_does_not_answer_is_asked_once_and_what_it_took_counts() -> None:
    kafka = _Kafka(away=True)
    log = _Log(kafka, _View(), [submitted(f"r{number}") for number in range(40)])
    verdicts, seconds = run_virtually(log.judged())
    assert verdicts == [True] * 40
    assert (len(kafka.asked), seconds) == (1, 3.5)


def test_what_memory_tells_is_told_though_kafka_does_not_answer() -> None:
    kafka = _Kafka(away=True)
    begun = submitted("r1")
    log = _Log(kafka, _View(), [begun, enqueued(begun), submitted("r1"), enqueued(submitted("r9"))])

    async def scenario() -> None:
        await log.tail.take(log.written[:3])
        verdicts, _ = await log.judged()
        assert verdicts == [True, True, False, True]

    run_virtually(scenario())


@pytest.mark.parametrize("error", [LogUnavailable, ValueError, asyncio.CancelledError])
def test_however_writing_ends_nothing_goes_on_asking_the_view(error: type[BaseException]) -> None:
    view = _View(silent=True)
    log = _Log(_Kafka(), view, [submitted("r1")])

    async def write() -> None:
        async with log.verdicts.asked([one.event for one in log.written]):
            await asyncio.sleep(1)
            raise error

    async def scenario() -> None:
        with pytest.raises(error):
            await write()
        await asyncio.sleep(0.1)
        assert view.left == 1

    run_virtually(scenario())
