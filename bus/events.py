"""The catalogue: every type of event Covey writes, as frozen values with CloudEvents 1.0 attributes."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from bus.coverage import Coverage
from bus.failure import Failure
from bus.ids import CallId, EventId, MemberId, PayerId, RequestId, TenantId
from bus.question import Question


class Topic(StrEnum):
    """Where events of a kind are kept, in one order per key."""

    RTE = "rte.events"
    """Coverage requests. Key: tenant and member."""
    PAYER = "payer.events"
    """Payers going down and coming back. Key: payer."""


class EventType(StrEnum):
    """The name of what happened."""

    SUBMITTED = "rte.submitted"
    ENQUEUED = "rte.enqueued"
    SCHEDULED = "rte.scheduled"
    STARTED = "rte.started"
    COMPLETED = "rte.completed"
    FAILED = "rte.failed"
    TIMEOUT = "rte.timeout"
    CANCELLED = "rte.cancelled"
    ANSWERED = "rte.answered"
    DOWNTIME = "rte.downtime"


TERMINAL: Final = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.TIMEOUT, EventType.CANCELLED})
"""A request has exactly one of these, and it is the last."""


class Priority(StrEnum):
    """The three classes, most urgent first."""

    INTERACTIVE = "INTERACTIVE"
    ENROLLMENT = "ENROLLMENT"
    BACKGROUND = "BACKGROUND"

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return _RANK[self]


_RANK: Final = {priority: rank for rank, priority in enumerate(Priority)}


class CacheMode(StrEnum):
    """What a caller accepts from the cache."""

    DEFAULT = "DEFAULT"
    PREFER_CACHE = "PREFER_CACHE"
    REQUIRE_FRESH = "REQUIRE_FRESH"


class Purpose(StrEnum):
    """Why a request exists."""

    ASKED = "ASKED"
    """Somebody asked and waits."""
    REFRESH = "REFRESH"
    """A stale answer was given; this renews it in the background."""


class Submitted(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A request was accepted."""

    payer_id: PayerId
    question: Question
    priority: Priority
    cache_mode: CacheMode
    deadline: datetime
    caller: str
    """The `sub` of the token that asked."""
    fingerprint: str
    """Tells a retry with the same idempotency key from another question under that key."""
    purpose: Purpose = Purpose.ASKED


class Enqueued(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A request waits for a slot; again, with a higher attempt, when a retry was decided."""

    payer_id: PayerId
    queue_position: int | None = None
    estimated_wait_seconds: float | None = None
    not_before: datetime | None = None
    """A retry waits at least until then."""
    cause: Failure | None = None
    """Why the attempt before did not end it."""
    ended_call: CallId | None = None
    """The call of the attempt before, if the exchange is proven over: its slot is free."""


class Scheduled(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A slot was leased for the request's call."""

    payer_id: PayerId
    call_id: CallId
    lease_expires_at: datetime


class Started(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The call may be in flight from here on: the payer counts it until it ends or the lease does."""

    payer_id: PayerId
    call_id: CallId
    lease_expires_at: datetime


class Completed(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The payer answered. Terminal."""

    payer_id: PayerId
    call_id: CallId
    question_key: str
    """`Question.key`: where the answer belongs in the cache."""
    coverage: Coverage


class Failed(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """No answer, and no retry will bring one. Terminal."""

    payer_id: PayerId
    failure: Failure
    ended_call: CallId | None = None


class TimedOut(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The deadline passed. Terminal; a call under way runs on and feeds the cache."""

    payer_id: PayerId
    failure: Failure


class Cancelled(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Whoever asked gave up. Terminal; a call under way runs on and feeds the cache."""

    payer_id: PayerId


class Answered(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A call ended after everybody who waited for it had gone: its slot is free, its answer feeds the cache.

    Its subject is the call, not a request, so no request's fold sees it (docs/decisions/0002).
    """

    payer_id: PayerId
    call_id: CallId
    question_key: str
    coverage: Coverage | None = None
    """None where the call brought no answer."""


class Downtime(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A payer stopped answering, or answers again."""

    payer_id: PayerId
    available: bool
    since: datetime


EventData = Submitted | Enqueued | Scheduled | Started | Completed | Failed | TimedOut | Cancelled | Answered | Downtime

DATA_OF: Final[dict[EventType, type[EventData]]] = {
    EventType.SUBMITTED: Submitted,
    EventType.ENQUEUED: Enqueued,
    EventType.SCHEDULED: Scheduled,
    EventType.STARTED: Started,
    EventType.COMPLETED: Completed,
    EventType.FAILED: Failed,
    EventType.TIMEOUT: TimedOut,
    EventType.CANCELLED: Cancelled,
    EventType.ANSWERED: Answered,
    EventType.DOWNTIME: Downtime,
}
TYPE_OF: Final[dict[type[EventData], EventType]] = {data: type_ for type_, data in DATA_OF.items()}


_TOPIC_OF: Final = {data: Topic.PAYER if data is Downtime else Topic.RTE for data in TYPE_OF}
_ENDS: Final = frozenset(DATA_OF[type_] for type_ in TERMINAL)


class Event(Struct, frozen=True, gc=False, kw_only=True):
    """One thing that happened: CloudEvents 1.0 context attributes, our extensions, and typed data.

    `subject` is a request id, for `rte.answered` a call id, for `rte.downtime` a payer id. `tenant_id`, `member_id`,
    `sequence` (per request, from 1, no gaps) and `attempt` (from 1) are set on events of a request.
    """

    id: EventId
    source: str
    subject: str
    time: datetime
    data: EventData
    tenant_id: TenantId | None = None
    member_id: MemberId | None = None
    sequence: int | None = None
    attempt: int | None = None
    traceparent: str | None = None

    @property
    def type(self) -> EventType:
        return TYPE_OF[type(self.data)]

    @property
    def topic(self) -> Topic:
        return _TOPIC_OF[type(self.data)]

    @property
    def terminal(self) -> bool:
        return type(self.data) in _ENDS

    @property
    def request_id(self) -> RequestId | None:
        """The request this event belongs to; None for events of calls and payers."""
        return None if self.sequence is None else RequestId(self.subject)


class Recorded(Struct, frozen=True, gc=False, kw_only=True):
    """An event and where it stands in the log."""

    position: int
    """Grows along an order; compare positions of one topic and partition only."""
    event: Event
    partition: int = 0
    """Which of the topic's orders it stands in; a log that has one order a topic has only this."""


_ENCODER: Final = msgspec.json.Encoder()
_DECODERS: Final = {type_: msgspec.json.Decoder(data) for type_, data in DATA_OF.items()}


def encode_data(data: EventData) -> bytes:
    """The event's data as JSON (`datacontenttype` application/json)."""
    return _ENCODER.encode(data)


def decode_data(type_: EventType, encoded: bytes) -> EventData:
    """The data of an event of that type; unknown fields are passed over, so that newer writers do no harm.

    Raises msgspec.DecodeError where the bytes do not have the type's shape.
    """
    data: EventData = _DECODERS[type_].decode(encoded)
    return data
