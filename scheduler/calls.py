"""What the end of a call means: for the slots, and for each request that waited for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, assert_never

from bus.events import Completed, Enqueued, EventData, Failed, TimedOut
from bus.failure import Failure, FailureKind
from bus.fold import RequestState, RequestStatus
from bus.ids import CallId
from payer.outcome import Answer, Broken, Outcome, Rejection, Throttled, Unfinished, Unreachable
from scheduler.admission import CallEnd

CUT_OFF: Final = Failure(
    code="INTERRUPTED",
    kind=FailureKind.INTERNAL,
    message="The call was cut off when the server that made it stopped; it is made again.",
)
"""Why a request gets another attempt whose call nobody makes any more."""
_NO_ANSWER: Final = "No answer came within the time this request was given."
_WITH_MORE_TIME: Final = "Ask again, with a later deadline."
_LATER: Final = "Ask again later."
"""More time does not mend what failed."""


def end_of(outcome: Outcome) -> CallEnd:
    """How slots, accounts and breakers see the outcome."""
    match outcome:
        case Answer() | Rejection():
            return CallEnd.ANSWERED
        case Unreachable():
            return CallEnd.UNREACHABLE
        case Unfinished():
            return CallEnd.TIMED_OUT if outcome.timed_out else CallEnd.LOST
        case Throttled() | Broken():
            return CallEnd.FAILED
        case _:
            assert_never(outcome)


def proven_over(end: CallEnd) -> bool:
    """Whether the payer no longer counts the call."""
    return end not in (CallEnd.TIMED_OUT, CallEnd.LOST)


def next_events(
    state: RequestState, outcome: Outcome, call_id: CallId, retry_delay_seconds: float | None, now: datetime
) -> Sequence[EventData]:
    """What the outcome of a call makes of a request: its end, or another attempt if that can begin in time.

    What a payer said of the question ends the request whichever call brought it. That this call brought nothing
    matters only while the request waits for this call: another worker may be making the next one.
    """
    if state.call_id != call_id and not isinstance(outcome, Answer | Rejection):
        return []
    return [_next_event(state, outcome, call_id, retry_delay_seconds, now)]


def timed_out(state: RequestState) -> Sequence[EventData]:
    """The end of a request whose deadline has passed; whoever reads it learns of the attempts that failed before."""
    said = [_NO_ANSWER]
    if state.cause is not None:
        failed = state.attempt - 1
        said.append(f"{failed} earlier attempt{'s' if failed > 1 else ''} failed, the last with {state.cause.code}:")
        said.append(state.cause.message)
    message = " ".join([*said, _WITH_MORE_TIME if state.cause is None else _LATER])
    return [
        TimedOut(payer_id=state.payer_id, failure=Failure(code="DEADLINE", kind=FailureKind.DEADLINE, message=message))
    ]


def cut_off(state: RequestState) -> Sequence[EventData]:
    """What brings a request whose call nobody makes back into the queue; nothing where it has no call."""
    if state.status in (RequestStatus.SCHEDULED, RequestStatus.STARTED):
        return [Enqueued(payer_id=state.payer_id, cause=CUT_OFF)]
    return []


def _next_event(
    state: RequestState, outcome: Outcome, call_id: CallId, retry_delay_seconds: float | None, now: datetime
) -> EventData:
    ended_call = call_id if proven_over(end_of(outcome)) else None
    match outcome:
        case Answer():
            return Completed(
                payer_id=state.payer_id,
                call_id=call_id,
                question_key=state.question.key(state.tenant_id),
                coverage=outcome.coverage,
            )
        case Rejection():
            return Failed(payer_id=state.payer_id, failure=outcome.failure, ended_call=ended_call)
        case Unreachable() | Unfinished() | Throttled() | Broken():
            not_before = None if retry_delay_seconds is None else now + timedelta(seconds=retry_delay_seconds)
            if not_before is None or not_before >= state.deadline:
                return Failed(payer_id=state.payer_id, failure=outcome.failure, ended_call=ended_call)
            return Enqueued(
                payer_id=state.payer_id, not_before=not_before, cause=outcome.failure, ended_call=ended_call
            )
        case _:
            assert_never(outcome)
