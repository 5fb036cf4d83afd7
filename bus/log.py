"""The port to the event log: the one place where what was acknowledged is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from bus.events import Event, Recorded, Topic
from bus.fold import RequestState, RequestStatus
from bus.ids import MemberId, RequestId, TenantId


class RequestPage(Struct, frozen=True, kw_only=True):
    """Requests of a listing, newest first, and whether more follow."""

    requests: tuple[RequestState, ...]
    places: tuple[int, ...]
    """Where each of them stands in its listing, falling: what the next page begins before."""
    has_next: bool


class Span(Struct, frozen=True, kw_only=True):
    """Which positions of an order of events the log holds."""

    floor: int
    """Everything at or before this position may be gone; 0 while nothing was deleted."""
    end: int
    """The position of the newest event ever written; 0 if there was none."""


class EventLog(Protocol):
    """Durable, append-only; the events of one member stand in one order, and so do those of all payers.

    Adapters: SQLite, Kafka, memory (tests, benchmarks); one contract suite for all. Every method may raise
    LogUnavailable. Methods may be called concurrently.
    """

    @property
    def epoch(self) -> str:
        """Names this log: a cursor of another epoch cannot be continued here."""
        ...

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        """Write events in this order and return, once all are durable, each with its position.

        None stands for an event that was refused by the rule of the fold: its sequence was not the next of its request,
        or the request had ended. Refusals do not hinder the other events. On LogUnavailable none was accepted.
        `ids_are_new` promises that every event is the first of a request whose id was just made, at random: an adapter
        then need not look whether anything came before.
        To append nothing tells whether something could be appended now. Raises EventTooLarge where one of
        them is more than the adapter takes: nothing was accepted, and the same would be refused for ever.
        """
        ...

    async def read_member(
        self, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int
    ) -> Sequence[Recorded]:
        """Up to `limit` events of one member in `rte.events` behind `after`; no other member's are read for it."""
        ...

    async def member_span(self, tenant_id: TenantId, member_id: MemberId, *, reaching: int = 0) -> Span:
        """Of the order that the member's events stand in; others' may stand in it too.

        Everything up to its end was heard of in this process. `reaching` is a position that a caller knows from
        elsewhere: where the log goes that far, so does the span.
        """
        ...

    async def read_request(self, request_id: RequestId, *, after: int = 0) -> Sequence[Recorded]:
        """All events of one request behind `after` (a request has few)."""
        ...

    def beginning(self, request_id: RequestId) -> Recorded | None:
        """The request's first event, where that is known without a wait; else only `read_request` can tell."""
        ...

    async def read_payers(self, *, after: int, limit: int) -> Sequence[Recorded]:
        """Up to `limit` events of `payer.events` behind `after`, in log order."""
        ...

    async def payers_span(self, *, reaching: int = 0) -> Span:
        """Of the order of all events of `payer.events`; as `member_span`."""
        ...

    async def latest_per_payer(self) -> Sequence[Recorded]:
        """The newest event of every payer in `payer.events`, in log order."""
        ...


class OrderedLog(EventLog, Protocol):
    """A log in which all events of a topic stand in one order. Adapters: SQLite, memory."""

    async def read(self, topic: Topic, *, after: int, limit: int) -> Sequence[Recorded]:
        """Up to `limit` events of the topic behind position `after`, in log order."""
        ...

    async def end(self, topic: Topic) -> int:
        """The position of the topic's newest event ever written; 0 if there was none."""
        ...

    async def floor(self, topic: Topic) -> int:
        """Everything at or before this position may be gone; 0 while nothing was deleted."""
        ...

    async def wait_beyond(self, topic: Topic, position: int) -> None:
        """Return as soon as the topic has an event behind `position`."""
        ...

    async def delete_before(self, topic: Topic, time: datetime) -> int:
        """Delete the topic's oldest events up to the first that is not older than `time`; how many went.

        The data really leaves the disk. Requests that have not ended stay whole.
        """
        ...


class RequestView(Protocol):
    """The status of requests: a view of the log that can be thrown away and rebuilt from it.

    Every method may raise LogUnavailable, or StateUnavailable where the view lies outside the log.
    """

    async def get(self, tenant_id: TenantId, request_id: RequestId) -> RequestState | None:
        """The request as the log tells it now, including everything this process appended; None if there is none."""
        ...

    async def states(self, request_ids: Sequence[RequestId]) -> Sequence[RequestState]:
        """Those of the requests that there are, of any tenant: for the scheduler, which serves them all."""
        ...

    async def page(
        self,
        tenant_id: TenantId,
        *,
        member_id: MemberId | None,
        statuses: frozenset[RequestStatus],
        first: int,
        before: int | None,
    ) -> RequestPage:
        """Up to `first` requests of the tenant, newest first, that stand before place `before` of the listing.

        An empty `statuses` means any.
        """
        ...

    def open_requests(self) -> AsyncIterator[RequestState]:
        """Every request that has not ended, oldest first; what a start rebuilds the queue from. Reads only these."""
        ...

    async def people_asked_about(
        self, tenant_id: TenantId, member_id: MemberId, caller: str, since: datetime
    ) -> frozenset[str]:
        """`Question.person_key` of everybody the caller asked about (not: refreshed) for the member since then.

        `caller` is the `sub` of tokens: what others asked for the same member, such as a service, is not told.
        """
        ...

    async def calls_unaccounted(self, leased_after: datetime) -> Sequence[Recorded]:
        """The `rte.started` events, one a call, whose lease ends after that and whose call has no recorded end.

        The payer may still count these calls: their slots stay taken until the lease ends.
        """
        ...
