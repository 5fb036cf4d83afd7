from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from bus.events import Event, Recorded
from bus.fold import RequestState, fold
from bus.ids import RequestId
from bus.log import EventLog
from bus.tally import Tally
from tests.bus.conftest import completed, enqueued, scheduled, submitted


class _Held:
    """As much of a log as is asked for: the events of requests."""

    def __init__(self, events: Sequence[Recorded], *, in_memory: bool) -> None:
        self._events = events
        self._in_memory = in_memory

    def beginning(self, request_id: RequestId) -> Recorded | None:
        of_request = [one for one in self._events if one.event.subject == request_id]
        return of_request[0] if self._in_memory and of_request and of_request[0].event.sequence == 1 else None

    async def read_request(self, request_id: RequestId, **_: Any) -> Sequence[Recorded]:
        return [one for one in self._events if one.event.subject == request_id]


def _life(request_id: str) -> list[Event]:
    first = submitted(request_id)
    second = enqueued(first)
    third = scheduled(second)
    return [first, second, third, completed(third)]


_EVENTS = st.lists(st.sampled_from([*_life("r1"), *_life("r2")]), max_size=14)


@given(_EVENTS, st.integers(0, 14), st.booleans())
def test_an_event_counts_where_the_fold_goes_on_with_it(events: list[Event], first_asked: int, in_memory: bool) -> None:
    """In any order, repeated, asked about from anywhere on, and whether or not beginnings are known without a wait."""
    log = [Recorded(position=position, event=event) for position, event in enumerate(events, start=1)]
    states: dict[str, RequestState | None] = {}
    by_fold: list[bool] = []
    for recorded in log:
        before = states.get(recorded.event.subject)
        after = states[recorded.event.subject] = fold(before, recorded)
        by_fold.append(after is not before)

    async def by_tally() -> list[bool]:
        tally = Tally(cast("EventLog", _Held(log, in_memory=in_memory)))
        return [await tally.counts(recorded) for recorded in log[first_asked:]]

    assert asyncio.run(by_tally()) == by_fold[first_asked:]


def test_a_request_whose_beginning_is_in_memory_needs_no_reading() -> None:
    log = [Recorded(position=position, event=event) for position, event in enumerate(_life("r1"), start=1)]
    tally = Tally(cast("EventLog", _Held(log, in_memory=True)))
    assert [tally.known(recorded) for recorded in log] == [True] * len(log)
    assert tally.known(log[1]) is None  # it had ended: only the log can tell
    assert Tally(cast("EventLog", _Held(log, in_memory=False))).known(log[0]) is None
