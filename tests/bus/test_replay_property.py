"""Whatever comes between what, a client that resumes by cursor has collected exactly what the list says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from itertools import chain, repeat

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from bus.events import Event, Recorded, Topic
from bus.fold import RequestState, fold
from bus.replay import Delivered, StreamItem
from tests.bus.conftest import answered, cancelled, completed, downtime, enqueued, scheduled, started, submitted
from tests.bus.keeping_log import KeepingLog
from tests.bus.stream_bench import Bench
from tests.virtual_time import run_virtually

_STEPS: list[Callable[[Event], Event]] = [enqueued, scheduled, started, completed, cancelled]


class Append(Struct, frozen=True):
    """Competing writers append some events to a few requests; many of them the fold must ignore."""

    picks: tuple[tuple[int, int, int], ...]


class Consume(Struct, frozen=True):
    """A client takes up to so many items."""

    items: int


class Cut(Struct, frozen=True):
    """A client is cut off, and resumes by its last cursor."""


class Yield(Struct, frozen=True):
    """The readers, the fan-out and the streams do some steps."""

    steps: int


Move = Append | Consume | Cut | Yield

picks = st.tuples(st.integers(0, 4), st.integers(0, len(_STEPS)), st.integers(0, 3))
moves = st.lists(
    st.one_of(
        st.builds(Append, st.lists(picks, min_size=1, max_size=6).map(tuple)),
        st.builds(Consume, st.integers(1, 5)),
        st.builds(Cut),
        st.builds(Yield, st.integers(1, 12)),
    ),
    max_size=40,
)
pauses = st.lists(st.integers(0, 4), max_size=60)


class Writers:
    """Make events of three requests of the member, one of a stranger, calls and payers; some from an outdated state."""

    def __init__(self, log: KeepingLog) -> None:
        self._log = log
        self._written: dict[str, list[Event]] = {}

    def write(self, picks: Iterable[tuple[int, int, int]]) -> None:
        self._log.write(*(self._event(*pick) for pick in picks))

    def _event(self, subject: int, step: int, age: int) -> Event:
        if subject == 4:
            return downtime(f"P{step}", available=age % 2 == 0) if age else answered()
        request_id, member = f"r{subject}", "m2" if subject == 3 else "m1"
        written = self._written.setdefault(request_id, [])
        if not written or step == len(_STEPS):
            event = submitted(request_id, member=member)
        else:
            event = _STEPS[step](written[max(len(written) - 1 - age, 0)])
        written.append(event)
        return event


class StreamClient:
    """Collects what a stream gives, and resumes it by the cursor it saw last."""

    def __init__(self, subscribe: Callable[[str | None], AsyncGenerator[StreamItem, None]]) -> None:
        self._subscribe = subscribe
        self._cursor: str | None = None
        self._stream = subscribe(None)
        self._next: asyncio.Task[StreamItem | None] | None = None
        self.collected: list[Recorded] = []
        self.ended = False

    async def consume(self, items: int, patience: int = 30) -> int:
        """How many came, within so many steps of the loop for each."""
        for came in range(items):
            self._next = self._next or asyncio.create_task(anext(self._stream, None), name="client")
            for _ in range(patience):
                if self._next.done():
                    break
                await asyncio.sleep(0)
            else:
                return came
            item = self._next.result()
            self._next = None
            if item is None:
                self.ended = True
                return came
            self._cursor = item.cursor
            if isinstance(item, Delivered):
                self.collected.append(item.recorded)
        return items

    async def cut(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})
            self._next = None
        await self._stream.aclose()
        self._stream = self._subscribe(self._cursor)
        self.ended = False


def counted(events: Iterable[Recorded]) -> Iterator[Recorded]:
    """The oracle: a list, gone through by the fold."""
    states: dict[str, RequestState | None] = {}
    for recorded in events:
        subject = recorded.event.subject
        if recorded.event.topic is Topic.PAYER:
            yield recorded
        elif recorded.event.request_id is not None:
            before = states.get(subject)
            states[subject] = fold(before, recorded)
            if states[subject] is not before:
                yield recorded


def positions_of(events: Iterable[Recorded], topic: Topic, member: str | None = None) -> list[int]:
    return [
        recorded.position
        for recorded in events
        if recorded.event.topic is topic and (member is None or recorded.event.member_id == member)
    ]


async def _play(
    moves: list[Move],
    pauses: list[int],
    tail_bound: int,
    batch: int,
    subscribe: Callable[[Bench], Callable[[str | None], AsyncGenerator[StreamItem, None]]],
    *before: Event,
) -> tuple[StreamClient, KeepingLog]:
    paces = chain(pauses, repeat(0))

    async def pause() -> None:
        for _ in range(next(paces)):
            await asyncio.sleep(0)

    log = KeepingLog(pause)
    log.write(*before)
    async with Bench(log, tail_bound=tail_bound, batch=batch).running() as bench:
        writers = Writers(log)
        client = StreamClient(subscribe(bench))
        await client.consume(1, patience=500)
        for move in moves:
            match move:
                case Append():
                    writers.write(move.picks)
                case Consume():
                    await client.consume(move.items)
                case Cut():
                    await client.cut()
                case Yield():
                    for _ in range(move.steps):
                        await asyncio.sleep(0)
        while await client.consume(1, patience=2_000):
            pass
        assert bench.clock.monotonic() == 0  # nothing was healed by a later look: the join itself lost nothing
        await client.cut()
    return client, log


@settings(deadline=None, max_examples=150)
@given(moves, pauses, st.integers(1, 4), st.integers(1, 3))
def test_a_member_collects_each_event_once_and_in_order(
    moves: list[Move], pauses: list[int], tail_bound: int, batch: int
) -> None:
    client, log = run_virtually(_play(moves, pauses, tail_bound, batch, lambda bench: bench.member))
    whole = list(counted(log.events))
    assert positions_of(client.collected, Topic.RTE) == positions_of(whole, Topic.RTE, "m1")
    assert positions_of(client.collected, Topic.PAYER) == positions_of(whole, Topic.PAYER)


@settings(deadline=None, max_examples=80)
@given(moves, pauses, st.integers(1, 4), st.integers(1, 3))
def test_a_request_is_collected_whole_and_ends(
    moves: list[Move], pauses: list[int], tail_bound: int, batch: int
) -> None:
    def subscribe(bench: Bench) -> Callable[[str | None], AsyncGenerator[StreamItem, None]]:
        return lambda after: bench.request(after, request_id="r0")

    client, log = run_virtually(_play(moves, pauses, tail_bound, batch, subscribe, submitted("r0")))
    expected = [recorded for recorded in counted(log.events) if recorded.event.subject == "r0"]
    assert client.collected == expected


@settings(deadline=None, max_examples=80)
@given(moves, pauses, st.integers(1, 4), st.integers(1, 3))
def test_payers_are_collected_once_and_in_order(
    moves: list[Move], pauses: list[int], tail_bound: int, batch: int
) -> None:
    client, log = run_virtually(_play(moves, pauses, tail_bound, batch, lambda bench: bench.payers))
    assert positions_of(client.collected, Topic.PAYER) == positions_of(log.events, Topic.PAYER)
