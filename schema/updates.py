"""What streams carry."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from bus.fold import RequestStatus
from bus.replay import GapReason
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
