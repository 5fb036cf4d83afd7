"""What is delivered: the five events of a request, 600 bytes in the log at most, and the document they are read by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Final

import msgspec

from bus.coverage import Benefit, BenefitKind, Coverage, CoverageStatus
from bus.events import (
    CacheMode,
    Completed,
    Enqueued,
    Event,
    EventData,
    Priority,
    Scheduled,
    Started,
    Submitted,
)
from bus.ids import CallId, EventId, MemberId, PayerId, RequestId, TenantId
from bus.question import Person, Provider, Question

TENANT: Final = TenantId("bench")
EVENTS_A_REQUEST: Final = 5
DOCUMENT: Final = """
subscription Follow($member: ID!) {
  memberEvents(memberId: $member) {
    __typename
    ... on Update { cursor }
    ... on CoverageRequestEvent {
      id type time sequence attempt requestId memberId payerId queuePosition estimatedWaitSeconds
      coverage { status planName }
      failure { code kind message }
    }
  }
}
"""
"""17 leaves."""
RESUMING: Final = DOCUMENT.replace("($member: ID!)", "($member: ID!, $after: Cursor)").replace(
    "(memberId: $member)", "(memberId: $member, after: $after)"
)
"""The same from behind a cursor."""
_PAYER: Final = PayerId("60054")


def member(number: int) -> MemberId:
    return MemberId(f"m-{number}")


def request_events(number: int, request: int) -> Iterator[Event]:
    """The events of a member's `request`th request; their ids count from 0 for each member."""
    now = datetime.now(UTC)
    lease = now + timedelta(seconds=125)
    request_id, call = RequestId(f"r-{number}-{request}"), CallId(f"c-{number}-{request}")
    question = Question(
        member_id=member(number),
        payer_id=_PAYER,
        provider=Provider(npi="1999999984", organization_name="Clinic of some town, with a long enough name " * 3),
        subscriber=Person(member_id="W000000001", first_name="Ana", last_name="Rivera", date_of_birth=date(1980, 1, 1)),
        dependent=None,
        service_type_codes=("30",),
        date_of_service=now.date(),
    )
    coverage = Coverage(
        status=CoverageStatus.ACTIVE,
        payer_id=_PAYER,
        obtained_at=now,
        request_id=request_id,
        plan_name="Open Choice",
        benefits=(Benefit(kind=BenefitKind.COPAYMENT, amount="25.00", messages=("per visit",) * 3),) * 3,
    )
    steps: tuple[EventData, ...] = (
        Submitted(
            payer_id=_PAYER,
            question=question,
            priority=Priority.INTERACTIVE,
            cache_mode=CacheMode.DEFAULT,
            deadline=now + timedelta(seconds=120),
            caller="bench",
            fingerprint="f" * 64,
        ),
        Enqueued(payer_id=_PAYER, queue_position=1, estimated_wait_seconds=2.5),
        Scheduled(payer_id=_PAYER, call_id=call, lease_expires_at=lease),
        Started(payer_id=_PAYER, call_id=call, lease_expires_at=lease),
        Completed(payer_id=_PAYER, call_id=call, question_key="k" * 64, coverage=coverage),
    )
    for index, data in enumerate(steps):
        yield Event(
            id=EventId(event_id(number, request * EVENTS_A_REQUEST + index)),
            source="bench",
            subject=request_id,
            time=now,
            tenant_id=TENANT,
            member_id=member(number),
            sequence=index + 1,
            attempt=1,
            data=data,
        )


def event_at(number: int, index: int) -> Event:
    """The member's event of this number, counted over all its requests."""
    request, step = divmod(index, EVENTS_A_REQUEST)
    return next(islice(request_events(number, request), step, None))


def event_id(number: int, index: int) -> str:
    return f"e-{number}-{index}"


def plain(event: Event) -> bytes:
    """The event as a line for systems that have no log of ours: already in the form that the document asks for."""
    data = event.data
    fields = {
        "__typename": "CoverageRequestEvent",
        "cursor": "AQz0mS4BAAAAAAAAAAECAAAAAAAAAAB1cXl0bGFzZGZrbGphc2Rm",
        "id": event.id,
        "type": event.type.name,
        "time": event.time,
        "sequence": event.sequence,
        "attempt": event.attempt,
        "requestId": event.subject,
        "memberId": event.member_id,
        "payerId": data.payer_id,
        "queuePosition": data.queue_position if isinstance(data, Enqueued) else None,
        "estimatedWaitSeconds": data.estimated_wait_seconds if isinstance(data, Enqueued) else None,
        "coverage": {"status": "ACTIVE", "planName": "Open Choice"} if isinstance(data, Completed) else None,
        "failure": None,
        "rest": "x" * 150,
    }
    return msgspec.json.encode(fields) + b"\n"
