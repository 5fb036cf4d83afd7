"""First in the log wins: whoever reads a log, however far, comes to the same state of a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from bus.events import Event, Recorded
from bus.fold import RequestState, RequestStatus, accepts, fold
from tests.bus.conftest import (
    FAILURE,
    NOON,
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

Step = Callable[[Event], Event]
STEPS: list[Step] = [enqueued, scheduled, started, lambda after: enqueued(after, cause=FAILURE)]
ENDS: list[Step] = [completed, failed, timed_out, cancelled]


def folded(log: Sequence[Recorded], state: RequestState | None = None) -> RequestState | None:
    return reduce(fold, log, state)


@st.composite
def writers(draw: st.DrawFn) -> list[Event]:
    """What one writer, who knows nothing of the other, makes of a request: any path to an end."""
    events = [submitted()]
    for step in [*draw(st.lists(st.sampled_from(STEPS), max_size=4)), draw(st.sampled_from(ENDS))]:
        events.append(step(events[-1]))
    return events


@st.composite
def interleavings(draw: st.DrawFn) -> list[Recorded]:
    """The log that two writers fill, each in its own order."""
    waiting = [draw(writers()), draw(writers())]
    log: list[Recorded] = []
    while any(waiting):
        writer = draw(st.sampled_from([events for events in waiting if events]))
        log.append(Recorded(position=len(log) + 1, event=writer.pop(0)))
    return log


@given(interleavings())
def test_exactly_one_terminal_event_counts_and_it_is_the_last(log: list[Recorded]) -> None:
    counted: list[Recorded] = []
    state: RequestState | None = None
    for recorded in log:
        after = fold(state, recorded)
        if after is not state:
            counted.append(recorded)
        state = after
    assert [one.event.terminal for one in counted] == [False] * (len(counted) - 1) + [True]
    assert [one.event.sequence for one in counted] == list(range(1, len(counted) + 1))
    assert state is not None and state.status.terminal
    assert state.position == counted[-1].position
    assert state.submitted_position == counted[0].position


@given(interleavings(), st.data())
def test_every_reader_of_a_prefix_agrees_and_can_go_on_from_there(log: list[Recorded], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(log)))
    assert folded(log[cut:], folded(log[:cut])) == folded(log)
    status = None
    for end in range(len(log) + 1):
        state = folded(log[:end])
        if status is not None and status.terminal:
            assert state is not None and state.status is status
        status = state.status if state else None


@given(interleavings())
def test_leaving_out_what_did_not_count_changes_nothing(log: list[Recorded]) -> None:
    counted = [one for end, one in enumerate(log) if accepts(folded(log[:end]), one)]
    assert folded(counted) == folded(log)


def test_each_event_leaves_its_status() -> None:
    first = submitted()
    queued = enqueued(first)
    leased = scheduled(queued)
    calling = started(leased)
    expected = [RequestStatus.SUBMITTED, RequestStatus.ENQUEUED, RequestStatus.SCHEDULED, RequestStatus.STARTED]
    for end, status in (
        (completed(calling), RequestStatus.COMPLETED),
        (failed(calling), RequestStatus.FAILED),
        (timed_out(calling), RequestStatus.TIMEOUT),
        (cancelled(calling), RequestStatus.CANCELLED),
    ):
        state: RequestState | None = None
        for position, (event, after) in enumerate(
            zip([first, queued, leased, calling, end], [*expected, status], strict=True), start=1
        ):
            state = fold(state, Recorded(position=position, event=event))
            assert state is not None and state.status is after and state.sequence == position


def test_what_holds_while_waiting_is_forgotten_and_a_retry_counts_up() -> None:
    first = submitted()
    queued = enqueued(first)
    state = folded([Recorded(position=1, event=first), Recorded(position=2, event=queued)])
    assert state is not None and state.queue_position == 1
    calling = started(queued)
    state = fold(state, Recorded(position=3, event=calling))
    assert state is not None and state.queue_position is None and state.call_id == "c1"
    again = enqueued(calling, cause=FAILURE)
    state = fold(state, Recorded(position=4, event=again))
    assert state is not None and (state.attempt, state.call_id, state.lease_expires_at) == (2, None, None)


def test_a_second_submitted_in_its_turn_counts_and_changes_nothing() -> None:
    first = submitted()
    second = Event(id=first.id, source="test", subject="r1", time=NOON, data=first.data, sequence=2)
    state = folded([Recorded(position=1, event=first), Recorded(position=2, event=second)])
    assert state is not None
    assert (state.sequence, state.status, state.submitted_position) == (2, RequestStatus.SUBMITTED, 1)


def test_events_of_other_things_change_nothing() -> None:
    first = Recorded(position=1, event=submitted())
    state = fold(None, first)
    for other in (answered("r1"), downtime("r1"), enqueued(submitted("r2"))):
        assert fold(state, Recorded(position=2, event=other)) is state
    assert fold(None, Recorded(position=1, event=answered())) is None
