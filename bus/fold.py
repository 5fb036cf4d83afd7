"""First in the log wins: one pure function that every view of a request uses."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import assert_never

import msgspec
from msgspec import Struct

from bus.coverage import Coverage
from bus.events import (
    Answered,
    CacheMode,
    Cancelled,
    Completed,
    Downtime,
    Enqueued,
    Event,
    Failed,
    Priority,
    Purpose,
    Recorded,
    Scheduled,
    Started,
    Submitted,
    TimedOut,
)
from bus.failure import Failure
from bus.ids import CallId, MemberId, PayerId, RequestId, TenantId
from bus.question import Question


class RequestStatus(StrEnum):
    """Where a coverage request stands."""

    SUBMITTED = "SUBMITTED"
    ENQUEUED = "ENQUEUED"
    SCHEDULED = "SCHEDULED"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        """Nothing follows."""
        return self in _TERMINAL


_TERMINAL = frozenset({RequestStatus.COMPLETED, RequestStatus.FAILED, RequestStatus.TIMEOUT, RequestStatus.CANCELLED})


class RequestState(Struct, frozen=True, gc=False, kw_only=True):
    """A coverage request as its events tell it."""

    request_id: RequestId
    tenant_id: TenantId
    member_id: MemberId
    payer_id: PayerId
    question: Question
    caller: str
    fingerprint: str
    purpose: Purpose
    priority: Priority
    cache_mode: CacheMode
    submitted_at: datetime
    deadline: datetime
    status: RequestStatus
    sequence: int
    attempt: int
    updated_at: datetime
    position: int
    """Of the latest event that counted."""
    submitted_position: int
    """Of its `rte.submitted`: what listings are ordered and paged by."""
    queue_position: int | None = None
    estimated_wait_seconds: float | None = None
    not_before: datetime | None = None
    call_id: CallId | None = None
    lease_expires_at: datetime | None = None
    coverage: Coverage | None = None
    failure: Failure | None = None
    cause: Failure | None = None
    """Why the latest attempt that is over did not end it; None while none has failed."""
    traceparent: str | None = None
    """Where the trace of its submission stands, for its further events and its calls."""


def accepts(state: RequestState | None, recorded: Recorded) -> bool:
    """Whether this event, next in the log, counts for the request that stands at `state`."""
    if state is None:
        return continues(0, recorded.event)
    open_ = not state.status.terminal and recorded.event.subject == state.request_id
    return open_ and continues(state.sequence, recorded.event)


def continues(sequence: int, event: Event) -> bool:
    """Whether this event of a request counts, of which so many have, none of them terminal."""
    return event.sequence == sequence + 1 and (sequence > 0 or isinstance(event.data, Submitted))


def fold(state: RequestState | None, recorded: Recorded) -> RequestState | None:
    """The request after one more event of the log; the very same object where the event does not count.

    An event counts if its sequence is the next one and nothing terminal came before (blueprint, section 2).
    """
    if not accepts(state, recorded):
        return state
    event = recorded.event
    data = event.data
    if state is None:
        assert isinstance(data, Submitted)  # nothing else is accepted without a state
        return _submitted(recorded, data)
    # What holds only while waiting is forgotten by every later event.
    state = msgspec.structs.replace(
        state,
        sequence=state.sequence + 1,
        attempt=event.attempt or state.attempt,
        updated_at=event.time,
        position=recorded.position,
        queue_position=None,
        estimated_wait_seconds=None,
        not_before=None,
    )
    match data:
        case Enqueued():
            return msgspec.structs.replace(
                state,
                status=RequestStatus.ENQUEUED,
                queue_position=data.queue_position,
                estimated_wait_seconds=data.estimated_wait_seconds,
                not_before=data.not_before,
                cause=data.cause or state.cause,
                call_id=None,
                lease_expires_at=None,
            )
        case Scheduled():
            return msgspec.structs.replace(
                state,
                status=RequestStatus.SCHEDULED,
                call_id=data.call_id,
                lease_expires_at=data.lease_expires_at,
            )
        case Started():
            return msgspec.structs.replace(
                state,
                status=RequestStatus.STARTED,
                call_id=data.call_id,
                lease_expires_at=data.lease_expires_at,
            )
        case Completed():
            return msgspec.structs.replace(state, status=RequestStatus.COMPLETED, coverage=data.coverage)
        case Failed():
            return msgspec.structs.replace(state, status=RequestStatus.FAILED, failure=data.failure)
        case TimedOut():
            return msgspec.structs.replace(state, status=RequestStatus.TIMEOUT, failure=data.failure)
        case Cancelled():
            return msgspec.structs.replace(state, status=RequestStatus.CANCELLED)
        case Submitted() | Answered() | Downtime():
            # A second `submitted`, or an event that is no request's, can carry the next sequence only by a writer's
            # fault; it counts as read and changes nothing.
            return state
        case _:
            assert_never(data)


def _submitted(recorded: Recorded, data: Submitted) -> RequestState:
    event = recorded.event
    assert event.tenant_id is not None and event.member_id is not None  # every event of a request carries both
    return RequestState(
        request_id=RequestId(event.subject),
        tenant_id=event.tenant_id,
        member_id=event.member_id,
        payer_id=data.payer_id,
        question=data.question,
        caller=data.caller,
        fingerprint=data.fingerprint,
        purpose=data.purpose,
        priority=data.priority,
        cache_mode=data.cache_mode,
        submitted_at=event.time,
        deadline=data.deadline,
        status=RequestStatus.SUBMITTED,
        sequence=1,
        attempt=1,
        updated_at=event.time,
        position=recorded.position,
        submitted_position=recorded.position,
        traceparent=event.traceparent,
    )
