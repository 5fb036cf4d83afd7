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
    has_next: bool


class EventLog(Protocol):
    """Durable, ordered, append-only. Adapters: SQLite, memory (tests, benchmarks); one contract suite for all.

    Every method may raise LogUnavailable. Methods may be called concurrently.
    """

    @property
    def epoch(self) -> str:
        """Names this log: a cursor of another epoch cannot be continued here."""
        ...

    async def append(self, events: Sequence[Event]) -> Sequence[Recorded | None]:
        """Write events in this order and return, once all are durable, each with its position.

        None stands for an event that was refused by the rule of the fold: its sequence was not the next of its request,
        or the request had ended. Refusals do not hinder the other events. On LogUnavailable none was accepted.
        To append nothing tells whether something could be appended now.
        """
        ...

    async def read(self, topic: Topic, *, after: int, limit: int) -> Sequence[Recorded]:
        """Up to `limit` events of the topic behind position `after`, in log order."""
        ...

    async def read_member(
        self, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int
    ) -> Sequence[Recorded]:
        """Up to `limit` events of one member in `rte.events` behind `after`; no other member's are read for it."""
        ...

    async def read_request(self, request_id: RequestId, *, after: int = 0) -> Sequence[Recorded]:
        """All events of one request behind `after` (a request has few)."""
        ...

    async def latest_per_payer(self) -> Sequence[Recorded]:
        """The newest event of every payer in `payer.events`, in log order."""
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
    """The status of requests: a view of the log that can be thrown away and rebuilt from it."""

    async def get(self, tenant_id: TenantId, request_id: RequestId) -> RequestState | None:
        """The request as the log tells it now, including everything this process appended; None if there is none."""
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
        """Up to `first` requests of the tenant, newest first, submitted before log position `before`.

        An empty `statuses` means any.
        """
        ...

    def open_requests(self) -> AsyncIterator[RequestState]:
        """Every request that has not ended, oldest first; what a start rebuilds the queue from. Reads only these."""
        ...

    async def people_asked_about(self, tenant_id: TenantId, member_id: MemberId, since: datetime) -> frozenset[str]:
        """`Question.person_key` of everybody asked about (not: refreshed) for the member since then."""
        ...

    async def calls_unaccounted(self, leased_after: datetime) -> Sequence[Recorded]:
        """The `rte.started` events, one a call, whose lease ends after that and whose call has no recorded end.

        The payer may still count these calls: their slots stay taken until the lease ends.
        """
        ...
