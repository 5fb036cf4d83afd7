"""A log refuses exactly the events that the fold would pass over."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.clock import SystemClock
from bus.events import Event, EventData, Recorded
from bus.fold import RequestState, accepts, fold
from bus.ids import EventId, MemberId, RequestId, TenantId
from bus.memory_log import MemoryLog
from bus.metrics import Metrics
from bus.sqlite.log import SqliteLog
from tests.bus.conftest import (
    NOON,
    AnyLog,
    answered,
    cancelled,
    completed,
    downtime,
    enqueued,
    failed,
    scheduled,
    started,
    submitted,
    timed_out,
)

T1 = TenantId("t1")
FIRST = submitted()
DATA: list[EventData] = [
    step(FIRST).data for step in (enqueued, scheduled, started, completed, failed, timed_out, cancelled)
] + [FIRST.data, answered().data, downtime().data]


@st.composite
def any_events(draw: st.DrawFn) -> list[Event]:
    """Of three requests, often the next in sequence, but anything a confused writer may come up with."""
    events = []
    likely = {"a": 0, "b": 0, "c": 0}
    for number in range(draw(st.integers(1, 14))):
        subject = draw(st.sampled_from("abc"))
        sequence = draw(st.sampled_from([likely[subject] + 1] * 4 + [likely[subject], likely[subject] + 2, 0, -1]))
        likely[subject] = max(likely[subject], sequence)
        data = FIRST.data if sequence == 1 and draw(st.booleans()) else draw(st.sampled_from(DATA))
        events.append(
            Event(
                id=EventId(f"e{number}"),
                source="test",
                subject=subject,
                time=NOON,
                data=data,
                tenant_id=T1,
                member_id=MemberId("m1"),
                sequence=sequence,
            )
        )
    return events


async def open_log(kind: str, folder: Path) -> AnyLog:
    if kind == "memory":
        return await MemoryLog.open(new_epoch=lambda: "epoch1")
    return await SqliteLog.open(
        folder / "log.sqlite", clock=SystemClock(), new_epoch=lambda: "epoch1", metrics=Metrics()
    )


async def agrees(log: AnyLog, groups: list[list[Event]]) -> None:
    states: dict[str, RequestState | None] = {}
    results = await asyncio.gather(*(log.append(group) for group in groups))
    for group, result in zip(groups, results, strict=True):
        for event, recorded in zip(group, result, strict=True):
            state = states.get(event.subject)
            counts = accepts(state, recorded or Recorded(position=0, event=event))
            assert (recorded is not None) is counts
            if recorded is not None:
                states[event.subject] = fold(state, recorded)
    page = await log.page(T1, member_id=None, statuses=frozenset(), first=3, before=None)
    listed = {state.request_id: state for state in page.requests}
    for subject, state in states.items():
        if state is not None:
            assert await log.get(T1, RequestId(subject)) == state
            assert listed[RequestId(subject)] == state
            of_status = await log.page(T1, member_id=None, statuses=frozenset({state.status}), first=3, before=None)
            assert state in of_status.requests
    assert {state.request_id async for state in log.open_requests()} >= {
        subject for subject, state in states.items() if state is not None and not state.status.terminal
    }


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_log_refuses_what_the_fold_passes_over(kind: str, tmp_path: Path) -> None:
    numbers = count()
    with asyncio.Runner() as runner:
        log = runner.run(open_log(kind, tmp_path))

        @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(any_events(), st.data())
        def agrees_for(events: list[Event], data: st.DataObject) -> None:
            prefix = next(numbers)  # each example has requests of its own in the one log
            own = [msgspec.structs.replace(event, subject=f"{prefix}{event.subject}") for event in events]
            cuts = sorted(data.draw(st.lists(st.integers(0, len(own)), max_size=3)))
            groups = [own[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(own)], strict=True)]
            runner.run(agrees(log, groups))

        agrees_for()
        runner.run(log.close())
