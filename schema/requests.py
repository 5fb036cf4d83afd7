"""Coverage requests, and pages of them."""

from __future__ import annotations

from datetime import datetime

import strawberry

import bus.failure
from bus.events import Priority
from bus.failure import FailureKind
from bus.fold import RequestStatus
from resolvers.answers import RequestAnswer
from resolvers.pages import Page
from schema.coverage import Coverage
from schema.pages import PageInfo
from schema.scalars import Cursor


@strawberry.type(description="Why a request ended without an answer, told so that somebody can act on it.")
class Failure:
    code: str = strawberry.field(description='The payer\'s AAA code where it gave one, like "75"; else a word.')
    kind: FailureKind = strawberry.field(description="Who can mend it, and how.")
    message: str = strawberry.field(description="In words; never repeats what was asked.")
    field: str | None = strawberry.field(
        description='The input to correct, as a path from the question, like "subscriber.memberId".'
    )
    follow_up: str | None = strawberry.field(description="What the payer asks to be done.")

    @classmethod
    def of(cls, failure: bus.failure.Failure) -> Failure:
        return cls(
            code=failure.code,
            kind=failure.kind,
            message=failure.message,
            field=failure.field,
            follow_up=failure.follow_up,
        )


@strawberry.type(description="One eligibility check, and where it stands.")
class CoverageRequest:
    id: strawberry.ID = strawberry.field(description="Names it for good.")
    member_id: strawberry.ID = strawberry.field(description="Whose coverage, in our own terms.")
    payer_id: strawberry.ID = strawberry.field(description="Who is asked, by its canonical id.")
    status: RequestStatus = strawberry.field(description="Where it stands.")
    priority: Priority = strawberry.field(description="How urgent it is.")
    attempt: int = strawberry.field(description="Counts from 1; higher after a retry.")
    submitted_at: datetime = strawberry.field(description="When it was accepted.")
    updated_at: datetime = strawberry.field(description="When its latest event happened.")
    deadline: datetime = strawberry.field(description="When it is given up.")
    queue_position: int | None = strawberry.field(description="1 is next; null unless ENQUEUED.")
    estimated_wait_seconds: float | None = strawberry.field(
        description="Calibrated on recent calls; null where nothing is known."
    )
    coverage: Coverage | None = strawberry.field(description="The answer, when COMPLETED.")
    failure: Failure | None = strawberry.field(description="Why there is none, when FAILED or TIMEOUT.")
    cursor: Cursor = strawberry.field(description="Of its latest event: subscribing `after` it misses nothing.")

    @classmethod
    def of(cls, answer: RequestAnswer) -> CoverageRequest:
        state = answer.state
        return cls(
            id=strawberry.ID(state.request_id),
            member_id=strawberry.ID(state.member_id),
            payer_id=strawberry.ID(state.payer_id),
            status=state.status,
            priority=state.priority,
            attempt=state.attempt,
            submitted_at=state.submitted_at,
            updated_at=state.updated_at,
            deadline=state.deadline,
            queue_position=state.queue_position,
            estimated_wait_seconds=state.estimated_wait_seconds,
            coverage=None if answer.coverage is None else Coverage.of(answer.coverage),
            failure=None if state.failure is None else Failure.of(state.failure),
            cursor=Cursor(answer.cursor),
        )


@strawberry.type(description="A request of a page.")
class CoverageRequestEdge:
    cursor: str = strawberry.field(description="For `after`.")
    node: CoverageRequest = strawberry.field(description="The request.")


@strawberry.type(description="A page of requests, newest first.")
class CoverageRequestConnection:
    edges: list[CoverageRequestEdge] = strawberry.field(description="The requests.")
    page_info: PageInfo = strawberry.field(description="Where the page stands in its listing.")

    @classmethod
    def of(cls, page: Page[RequestAnswer]) -> CoverageRequestConnection:
        edges = [
            CoverageRequestEdge(cursor=entry.cursor, node=CoverageRequest.of(entry.node)) for entry in page.entries
        ]
        return cls(edges=edges, page_info=PageInfo.of(page))
