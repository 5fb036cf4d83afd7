"""The port to admission: the queue, the slots, the flights and the breakers, decided in one place.

Times are seconds on the clock's monotonic scale. One decision is one call: an adapter makes each of them atomic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct

from bus.events import Priority
from bus.ids import CallId, PayerId, RequestId, TenantId

RENEWAL_SECONDS: Final = 10.0
"""How often an instance says that it lives (see `Admission.renew`)."""


class Ask(Struct, frozen=True, gc=False, kw_only=True):
    """A request that wants its question answered."""

    request_id: RequestId
    tenant_id: TenantId
    payer_id: PayerId
    question_key: str
    """Asks of one tenant with the same key share one call."""
    priority: Priority
    deadline: float
    not_before: float = 0.0
    """A retry waits at least until then."""


class QueuePlace(Struct, frozen=True, gc=False, kw_only=True):
    """Where a request stands while it waits."""

    queue_position: int
    """1 is next."""
    estimated_wait_seconds: float | None
    """None while nothing is known of recent calls."""


class Joined(Struct, frozen=True, gc=False, kw_only=True):
    """The question is already being asked: the request waits for this call."""

    call_id: CallId
    lease_expires: float


class Grant(Struct, frozen=True, gc=False, kw_only=True):
    """A slot leased for one call: record it, then make the call, then settle it."""

    call_id: CallId
    payer_id: PayerId
    tenant_id: TenantId
    question_key: str
    waiters: tuple[RequestId, ...]
    """Who waits for the answer, the first to ask first; never empty."""
    lease_expires: float
    probe: bool
    """The one call that finds out whether a payer that was down answers again."""


class CallEnd(StrEnum):
    """How a call ended, as far as slots, accounts and breakers care."""

    ANSWERED = "ANSWERED"
    """Proven over, and the payer answered (with coverage or a rejection)."""
    UNREACHABLE = "UNREACHABLE"
    """Proven over; the payer did not answer: counts for its breaker."""
    TIMED_OUT = "TIMED_OUT"
    """Not proven over: the lease runs on; counts for the payer's breaker."""
    LOST = "LOST"
    """Not proven over: the lease runs on; says nothing of the payer."""
    FAILED = "FAILED"
    """Proven over; says nothing of the payer (429, 500, an unreadable answer)."""
    NOT_MADE = "NOT_MADE"
    """Never sent (the grant could not be recorded): the slot frees, nothing is charged."""


class BreakerState(StrEnum):
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class BreakerChange(Struct, frozen=True, gc=False, kw_only=True):
    """A payer was found down, or answers again."""

    payer_id: PayerId
    available: bool


class Settled(Struct, frozen=True, gc=False, kw_only=True):
    """What a call's end means."""

    waiters: tuple[RequestId, ...]
    """Who still waits for it; they have left the flight, and wait for nothing until offered again."""
    breaker: BreakerChange | None
    calls_wait: bool = False
    """Whether `grant` may have something to say now: else nobody waits for the slot."""


class ClassStatus(Struct, frozen=True, gc=False, kw_only=True):
    """One priority class: how many calls wait, and how many are made."""

    priority: Priority
    waiting: int
    in_flight: int


class TenantStatus(Struct, frozen=True, gc=False, kw_only=True):
    tenant_id: TenantId
    waiting: int
    in_flight: int


class PayerStatus(Struct, frozen=True, gc=False, kw_only=True):
    payer_id: PayerId
    waiting: int
    in_flight: int
    breaker: BreakerState
    median_seconds: float | None
    """Of its recent calls."""


class AdmissionStatus(Struct, frozen=True, gc=False, kw_only=True):
    """A picture for operators; holds no health data."""

    slots: int
    held: int
    """Leases held, by live calls and by calls not proven over."""
    classes: tuple[ClassStatus, ...]
    tenants: tuple[TenantStatus, ...]
    payers: tuple[PayerStatus, ...]


class Renewal(Struct, frozen=True, kw_only=True):
    """What an instance learns when it says that it lives."""

    state_lost: bool
    """What instances share may have been lost since the last time: offer again what is open, hold what may be counted,
    say again which payers are down."""
    abandoned: tuple[RequestId, ...]
    """Requests that waited for calls of instances that have fallen silent: told once, to one instance; they wait for
    nothing until offered again. The calls' slots stay held until their leases end."""


class Admission(Protocol):
    """Who may call next. Adapters: memory, Redis. One contract suite for all.

    Where instances share it every method may raise StateUnavailable: nothing is known of what became of the decision.
    The same call again then has the effect of one.
    """

    async def room(self, tenant_id: TenantId, priority: Priority, now: float) -> None:
        """Raises QueueFull where an ask of this class would not be taken now; to be asked before accepting work."""
        ...

    async def offer(self, ask: Ask, now: float) -> QueuePlace | Joined:
        """Queue the ask, or join it to a call of the same question. The same request again changes nothing.

        Never refuses: what was acknowledged is queued whatever the limit (see `room`).
        """
        ...

    async def grant(self, now: float) -> Grant | None:
        """Lease a slot to the call that is due next; None if no slot is free or nothing eligible waits."""
        ...

    async def settle(self, call_id: CallId, end: CallEnd, now: float) -> Settled:
        """A call ended: charge its true duration, free its slot if proven over, judge its payer. Unknown ids change
        nothing (a stale owner cannot free another's slot)."""
        ...

    async def leave(self, request_id: RequestId, now: float) -> bool:
        """The request no longer waits (cancelled, expired); its call, if made, runs on. Whether it waited."""
        ...

    async def expired(self, now: float) -> Sequence[RequestId]:
        """The requests whose deadline has passed, each told once; they have left."""
        ...

    async def next_wakeup(self, now: float) -> float | None:
        """When `grant` or `expired`, both having said all they had until `now`, may next have something to say without
        a further call; None if never."""
        ...

    async def place(self, request_id: RequestId, now: float) -> QueuePlace | None:
        """Where the request stands; None if it does not wait in the queue."""
        ...

    async def hold(self, call_id: CallId, payer_id: PayerId, lease_expires: float, now: float) -> None:
        """At a start: take a slot for a call of an earlier life the payer may still count, until its lease ends."""
        ...

    async def open_breaker(self, payer_id: PayerId, now: float) -> None:
        """At a start: the payer was last known to be down."""
        ...

    async def vouch(self, now: float) -> None:
        """At a start, after every `hold`: the log has no open request, so no other call can be under way."""
        ...

    async def renew(self, now: float) -> Renewal:
        """This instance lives: to be called every `RENEWAL_SECONDS`."""
        ...

    async def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever another instance has changed what `grant`, `expired` or `next_wakeup` may say. Until
        cancelled; calls too often rather than too seldom. After StateUnavailable: to be called again."""
        ...

    async def status(self, now: float) -> AdmissionStatus:
        """A picture for operators and metrics."""
        ...
