"""However the newest events, the view of history and the log itself share an order among them, it is read whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import StateUnavailable
from bus.events import Event, Recorded, Topic, encode_data
from bus.history import History
from bus.ids import MemberId, RequestId, TenantId
from bus.kafka.reading import KafkaReading
from bus.kafka.records import KafkaRecords, Message, Place
from bus.kafka.seeking import Matches, Stretch
from bus.kafka.tail import KafkaTail
from bus.sealing import PlainSealer
from tests.bus.conftest import cancelled, enqueued, submitted

T1, M1 = TenantId("t1"), MemberId("m1")
RECORDS = KafkaRecords({Topic.RTE: 1, Topic.PAYER: 1}, PlainSealer())
PLACE = Place(Topic.RTE, 0)


class _Seeker:
    """Reads a list; what is at or before the floor is gone."""

    def __init__(self, log: Sequence[Recorded], floor: int) -> None:
        self._log = log
        self._floor = floor

    async def ends(self, places: object) -> dict[Place, int]:
        return {PLACE: len(self._log)}

    async def floors(self, places: object) -> dict[Place, int]:
        return {PLACE: self._floor}

    async def read(self, place: Place, *, after: int, through: int, limit: int, matches: Matches) -> Stretch:
        found = [
            recorded
            for recorded in self._log
            if max(after, self._floor) < recorded.position <= through
            and matches(_headers(RECORDS.message(recorded.event)))
        ][:limit]
        reached = found[-1].position if len(found) == limit else through
        return Stretch(events=found, through=reached, floor=self._floor)


def _headers(message: Message) -> Mapping[str, bytes]:
    return dict(message.headers)


class _View:
    """A view of history that holds a stretch, or cannot be reached."""

    def __init__(self, log: Sequence[Recorded], begin: int, through: int, *, away: bool) -> None:
        self._log = log
        self._begin = begin
        self._through = through
        self._away = away

    async def of_member(
        self, tenant_id: TenantId, member_id: MemberId, partition: int, *, after: int, limit: int
    ) -> History:
        if self._away:
            raise StateUnavailable("Redis is away.")
        begin = max(self._begin, after)
        own = [
            recorded
            for recorded in self._log
            if begin < recorded.position <= self._through and recorded.event.member_id == member_id
        ]
        through = own[limit - 1].position if len(own) >= limit else self._through
        return History(events=tuple(own[:limit]), after=begin, through=through)

    async def of_request(self, request_id: RequestId, *, after: int = 0) -> History | None:
        if self._away:
            raise StateUnavailable("Redis is away.")
        own = [
            recorded
            for recorded in self._log
            if self._begin < recorded.position <= self._through and recorded.event.request_id == request_id
        ]
        if not own or own[0].event.sequence != 1:
            return None
        return History(events=tuple(own), after=0, through=own[-1].position)


def _events() -> list[Event]:
    """Four requests of each of two members, mixed."""
    events: list[Event] = []
    for number in range(4):
        for member in ("m1", "m2"):
            first = submitted(f"{member}-{number}", member=member)
            events += [first, enqueued(first)]
    open_ones = [event for event in events if event.sequence == 2]
    return events + [cancelled(event) for event in open_ones[::2]]


LOG = [Recorded(position=position, event=event) for position, event in enumerate(_events(), start=1)]
END = len(LOG)


@st.composite
def readings(draw: st.DrawFn) -> tuple[KafkaReading, int]:
    """Some share of the order, and its floor."""
    floor = draw(st.integers(0, END))
    start = draw(st.integers(floor, END))
    reached = draw(st.integers(start, END))
    begin = draw(st.integers(floor, END))
    through = draw(st.integers(0, END))
    starts = {PLACE: start, Place(Topic.PAYER, 0): 0}
    tail = KafkaTail(starts, max_events=draw(st.integers(0, END)), max_bytes=draw(st.integers(0, 400 * END)))
    asyncio.run(tail.take([recorded for recorded in LOG if start < recorded.position <= reached]))
    view = draw(st.none() | st.builds(lambda away: _View(LOG, begin, through, away=away), st.booleans()))
    seeker = _Seeker(LOG, floor)
    reading = KafkaReading(
        records=RECORDS,
        seeker=seeker,
        tail=tail,
        history=view,
        ends={PLACE: END, Place(Topic.PAYER, 0): 0},
        floors={PLACE: 0, Place(Topic.PAYER, 0): 0},
    )
    return reading, floor


@given(readings(), st.integers(0, END), st.integers(1, 5))
def test_a_member_is_read_whole_in_order_and_once(drawn: tuple[KafkaReading, int], after: int, limit: int) -> None:
    reading, floor = drawn

    async def pages() -> list[int]:
        read: list[int] = []
        while page := await reading.of_member(PLACE, T1, M1, after=read[-1] if read else after, limit=limit):
            assert len(page) <= limit
            read += [recorded.position for recorded in page]
        return read

    kept = [recorded.position for recorded in LOG if recorded.event.member_id == M1 and recorded.position > after]
    assert asyncio.run(pages()) == [position for position in kept if position > floor]


@given(readings(), st.sampled_from([f"m{member}-{number}" for member in (1, 2) for number in range(4)]))
def test_a_request_is_read_whole_as_far_as_the_log_reaches_back(
    drawn: tuple[KafkaReading, int], request_id: str
) -> None:
    reading, floor = drawn
    whole = [recorded for recorded in LOG if recorded.event.subject == request_id]
    read = asyncio.run(reading.of_request(RequestId(request_id), after=0))
    assert read == [recorded for recorded in whole if recorded.position > floor]


def test_a_view_that_knows_a_request_of_long_ago_tells_its_first_event() -> None:
    view = _View(LOG, 0, END, away=False)
    tail = KafkaTail({PLACE: END, Place(Topic.PAYER, 0): 0}, max_events=10, max_bytes=10_000)
    reading = KafkaReading(
        records=RECORDS,
        seeker=_Seeker(LOG, END),
        tail=tail,
        history=view,
        ends={PLACE: END, Place(Topic.PAYER, 0): 0},
        floors={PLACE: END, Place(Topic.PAYER, 0): 0},
    )
    known = asyncio.run(reading.known({RequestId("m1-0"), RequestId("never")}))
    assert known == {RequestId("m1-0"): LOG[0], RequestId("never"): None}


def test_a_view_that_is_away_tells_of_no_request() -> None:
    reading = KafkaReading(
        records=RECORDS,
        seeker=_Seeker(LOG, 0),
        tail=KafkaTail({PLACE: END, Place(Topic.PAYER, 0): 0}, max_events=10, max_bytes=10_000),
        history=_View(LOG, 0, END, away=True),
        ends={PLACE: END, Place(Topic.PAYER, 0): 0},
        floors={PLACE: END, Place(Topic.PAYER, 0): 0},
    )
    assert asyncio.run(reading.known({RequestId("m1-0"), RequestId("never")})) == {}


@given(st.lists(st.integers(1, 7), max_size=END), st.integers(0, END), st.integers(0, 400 * END))
def test_the_tail_holds_the_newest_within_both_bounds(batches: list[int], max_events: int, max_bytes: int) -> None:
    tail = KafkaTail({PLACE: 0, Place(Topic.PAYER, 0): 0}, max_events=max_events, max_bytes=max_bytes)
    taken = 0
    for size in batches:
        asyncio.run(tail.take(LOG[taken : taken + size]))
        taken = min(taken + size, END)
    newest: list[Recorded] = []
    held_bytes = 0
    for recorded in reversed(LOG[:taken]):
        held_bytes += len(encode_data(recorded.event.data))
        if len(newest) == max_events or held_bytes > max_bytes:
            break
        newest.insert(0, recorded)
    assert tail.of_place(PLACE, after=0, limit=END) == newest
    assert tail.start(PLACE) == taken - len(newest)


def _tail_of(events: Sequence[Event], max_events: int) -> KafkaTail:
    tail = KafkaTail({PLACE: 0, Place(Topic.PAYER, 0): 0}, max_events=max_events, max_bytes=1_000_000)
    asyncio.run(tail.take([Recorded(position=at, event=event) for at, event in enumerate(events, start=1)]))
    return tail


def test_an_event_that_came_too_late_to_be_first_does_not_become_first_when_the_first_is_dropped() -> None:
    again = [submitted("r1"), enqueued(submitted("r1")), submitted("r2"), submitted("r1")]
    whole = _tail_of(again, 4).of_request(RequestId("r1"))
    assert whole is not None
    assert [one.position for one in whole] == [1, 2, 4]
    for max_events in (3, 2):
        assert _tail_of(again, max_events).of_request(RequestId("r1")) is None
    gone = _tail_of([*again, submitted("r3"), submitted("r4")], 2)
    assert gone.newest_of_request(RequestId("r1")) == ()


@pytest.mark.parametrize("taken_first", [True, False])
def test_an_event_that_lost_to_one_of_long_ago_is_no_beginning(taken_first: bool) -> None:
    tail = _tail_of([submitted("r2"), submitted("r1")] if taken_first else [submitted("r2")], 2)
    lost = Recorded(position=2, event=submitted("r1"))
    tail.lost(lost)
    asyncio.run(tail.take([lost]))
    assert tail.of_request(RequestId("r1")) is None
    assert tail.of_request(RequestId("r2")) is not None


def test_an_event_that_lost_to_one_still_here_changes_nothing() -> None:
    tail = _tail_of([submitted("r1"), submitted("r1")], 2)
    tail.lost(Recorded(position=2, event=submitted("r1")))
    assert len(tail.of_request(RequestId("r1")) or ()) == 2
