"""What streams carry."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, assert_never

import strawberry

import bus.replay
import resolvers.progress
from bus.events import Completed, Downtime, Enqueued, Event, Failed, TimedOut
from bus.fold import RequestStatus
from bus.replay import GapReason, StreamItem
from resolvers.answers import Answers, CoverageSource
from schema.coverage import Coverage
from schema.requests import Failure
from schema.scalars import Cursor

_CURSOR = "To go on from behind this item."


@strawberry.interface(description="An item of a stream.")
class Update:
    cursor: Cursor = strawberry.field(description=_CURSOR)


@strawberry.type(description="Something happened to a coverage request.")
class CoverageRequestEvent(Update):
    cursor: Cursor = strawberry.field(description=_CURSOR)
    id: strawberry.ID = strawberry.field(description="Names the event for good.")
    type: RequestStatus = strawberry.field(description="What happened: the status the request has from here on.")
    time: datetime = strawberry.field(description="When it happened.")
    sequence: int = strawberry.field(description="Counts the request's events from 1, without gaps.")
    attempt: int = strawberry.field(description="Counts from 1; higher after a retry.")
    request_id: strawberry.ID = strawberry.field(description="The request.")
    member_id: strawberry.ID = strawberry.field(description="Whose coverage, in our own terms.")
    payer_id: strawberry.ID = strawberry.field(description="Who is asked, by its canonical id.")
    queue_position: int | None = strawberry.field(description="1 is next; null unless ENQUEUED.")
    estimated_wait_seconds: float | None = strawberry.field(
        description="Calibrated on recent calls; null where nothing is known."
    )
    coverage: Coverage | None = strawberry.field(description="The answer, when COMPLETED.")
    failure: Failure | None = strawberry.field(description="Why there is none, when FAILED or TIMEOUT.")


@strawberry.type(description="A payer stopped answering, or answers again.")
class PayerEvent(Update):
    cursor: Cursor = strawberry.field(description=_CURSOR)
    id: strawberry.ID = strawberry.field(description="Names the event for good.")
    time: datetime = strawberry.field(description="When it was noticed.")
    payer_id: strawberry.ID = strawberry.field(description="The payer, by its canonical id.")
    available: bool = strawberry.field(description="Whether it answers.")
    since: datetime = strawberry.field(description="Since when.")


@strawberry.type(
    description="A waiting request has another place in the queue. Not kept: its cursor is the last event's."
)
class QueueProgress(Update):
    cursor: Cursor = strawberry.field(description=_CURSOR)
    request_id: strawberry.ID = strawberry.field(description="The request.")
    queue_position: int = strawberry.field(description="1 is next.")
    estimated_wait_seconds: float | None = strawberry.field(
        description="Calibrated on recent calls; null where nothing is known."
    )


@strawberry.type(description="Nothing new: everything up to this cursor was delivered.")
class Checkpoint(Update):
    cursor: Cursor = strawberry.field(description=_CURSOR)


@strawberry.type(
    description="The stream could not be continued from the cursor that was given: reload by polling, then go on from "
    "here."
)
class Gap(Update):
    cursor: Cursor = strawberry.field(description=_CURSOR)
    reason: GapReason = strawberry.field(description="Why.")


CoverageRequestUpdate = Annotated[
    CoverageRequestEvent | QueueProgress | Gap,
    strawberry.union("CoverageRequestUpdate", description="An item of one request's stream."),
]
MemberUpdate = Annotated[
    CoverageRequestEvent | PayerEvent | Checkpoint | Gap,
    strawberry.union("MemberUpdate", description="An item of a member's stream."),
]
PayerUpdate = Annotated[
    PayerEvent | Checkpoint | Gap, strawberry.union("PayerUpdate", description="An item of the payers' stream.")
]
AnyUpdate = CoverageRequestEvent | PayerEvent | QueueProgress | Checkpoint | Gap


def update_of(item: StreamItem | resolvers.progress.QueueProgress, answers: Answers) -> AnyUpdate:
    """The item in GraphQL's types."""
    match item:
        case bus.replay.Delivered():
            event, cursor = item.recorded.event, Cursor(item.cursor)
            if isinstance(event.data, Downtime):
                return _payer_event(event, event.data, cursor)
            return _request_event(event, cursor, answers)
        case bus.replay.Checkpoint():
            return Checkpoint(cursor=Cursor(item.cursor))
        case bus.replay.Gap():
            return Gap(cursor=Cursor(item.cursor), reason=item.reason)
        case resolvers.progress.QueueProgress():
            return QueueProgress(
                cursor=Cursor(item.cursor),
                request_id=strawberry.ID(item.request_id),
                queue_position=item.place.queue_position,
                estimated_wait_seconds=item.place.estimated_wait_seconds,
            )
        case _:
            assert_never(item)


def _payer_event(event: Event, downtime: Downtime, cursor: Cursor) -> PayerEvent:
    return PayerEvent(
        cursor=cursor,
        id=strawberry.ID(event.id),
        time=event.time,
        payer_id=strawberry.ID(downtime.payer_id),
        available=downtime.available,
        since=downtime.since,
    )


def _request_event(event: Event, cursor: Cursor, answers: Answers) -> CoverageRequestEvent:
    data = event.data
    queued = data if isinstance(data, Enqueued) else None
    covered = answers.coverage(data.coverage, CoverageSource.PAYER) if isinstance(data, Completed) else None
    return CoverageRequestEvent(
        cursor=cursor,
        id=strawberry.ID(event.id),
        type=RequestStatus[event.type.name],
        time=event.time,
        sequence=event.sequence or 0,
        attempt=event.attempt or 0,
        request_id=strawberry.ID(event.subject),
        member_id=strawberry.ID(event.member_id or ""),
        payer_id=strawberry.ID(data.payer_id),
        queue_position=None if queued is None else queued.queue_position,
        estimated_wait_seconds=None if queued is None else queued.estimated_wait_seconds,
        coverage=None if covered is None else Coverage.of(covered),
        failure=Failure.of(data.failure) if isinstance(data, Failed | TimedOut) else None,
    )
