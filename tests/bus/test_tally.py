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

    def __init__(self, events: Sequence[Recorded]) -> None:
        self._events = events

    async def read_request(self, request_id: RequestId, **_: Any) -> Sequence[Recorded]:
        return [one for one in self._events if one.event.subject == request_id]


def _life(request_id: str) -> list[Event]:
    first = submitted(request_id)
    second = enqueued(first)
    third = scheduled(second)
    return [first, second, third, completed(third)]


_EVENTS = st.lists(st.sampled_from([*_life("r1"), *_life("r2")]), max_size=14)


@given(_EVENTS, st.integers(0, 14))
def test_an_event_counts_where_the_fold_goes_on_with_it(events: list[Event], first_asked: int) -> None:
    """In any order, repeated, and asked about from anywhere on."""
    log = [Recorded(position=position, event=event) for position, event in enumerate(events, start=1)]
    states: dict[str, RequestState | None] = {}
    by_fold: list[bool] = []
    for recorded in log:
        before = states.get(recorded.event.subject)
        after = states[recorded.event.subject] = fold(before, recorded)
        by_fold.append(after is not before)

    async def by_tally() -> list[bool]:
        tally = Tally(cast("EventLog", _Held(log)))
        return [await tally.counts(recorded) for recorded in log[first_asked:]]

    assert asyncio.run(by_tally()) == by_fold[first_asked:]
