"""Reading the SQLite log: in threads of its own, and also from another process while the log is being written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial, reduce
from itertools import groupby
from pathlib import Path
from typing import Final

from bus.clock import Clock
from bus.events import Recorded, Topic
from bus.fold import RequestState, RequestStatus, fold
from bus.ids import MemberId, RequestId, TenantId
from bus.log import RequestPage, Span
from bus.people import PeopleAskedAbout
from bus.sealing import PlainSealer, Sealer
from bus.sqlite.pool import SqlitePool
from bus.sqlite.rows import EventRows, to_microseconds
from bus.sqlite.schema import check, floor, meta

_LOOK_SECONDS: Final = 0.25
_OPEN_CHUNK_REQUESTS: Final = 500

# The planner prefers no index where it must walk in log order, and does not see that the payers' events are few.
_READ: Final = {
    Topic.RTE: "SELECT * FROM events NOT INDEXED WHERE topic = 'rte.events' AND position > ? ORDER BY position LIMIT ?",
    Topic.PAYER: "SELECT * FROM events INDEXED BY events_of_payer"
    " WHERE topic = 'payer.events' AND position > ? ORDER BY position LIMIT ?",
}
_NEWEST: Final = {
    Topic.RTE: "SELECT position FROM events NOT INDEXED WHERE topic = 'rte.events' ORDER BY position DESC LIMIT 1",
    Topic.PAYER: "SELECT position FROM events INDEXED BY events_of_payer"
    " WHERE topic = 'payer.events' ORDER BY position DESC LIMIT 1",
}
_READ_MEMBER: Final = """
SELECT * FROM events WHERE tenant = ? AND member = ? AND topic = 'rte.events' AND position > ?
ORDER BY position LIMIT ?
"""
_READ_REQUEST: Final = """
SELECT * FROM events WHERE subject = ? AND sequence IS NOT NULL AND position > ? ORDER BY position
"""
_READ_REQUESTS: Final = """
SELECT * FROM events WHERE subject IN (SELECT value FROM json_each(?)) AND sequence IS NOT NULL
ORDER BY subject, position
"""
_LATEST_PER_PAYER: Final = """
SELECT * FROM events
WHERE position IN (SELECT max(position) FROM events WHERE topic = 'payer.events' GROUP BY subject)
ORDER BY position
"""
_PAGE: Final = """
SELECT event.* FROM (
    SELECT id AS request, position AS submitted FROM requests
    WHERE tenant = :tenant AND (:before IS NULL OR position < :before)
        AND (:statuses = '[]' OR status IN (SELECT value FROM json_each(:statuses)))
    ORDER BY position DESC LIMIT :limit
) JOIN events AS event ON event.subject = request AND event.sequence IS NOT NULL
ORDER BY submitted DESC, event.position
"""
_PAGE_OF_MEMBER: Final = _PAGE.replace("tenant = :tenant", "tenant = :tenant AND member = :member")
_OPEN: Final = """
SELECT event.* FROM (
    SELECT id AS request, position AS submitted FROM requests
    WHERE open AND position > ? ORDER BY position LIMIT ?
) JOIN events AS event ON event.subject = request AND event.sequence IS NOT NULL
ORDER BY submitted, event.position
"""
_SUBMITTED_SINCE: Final = """
SELECT events.* FROM requests JOIN events USING (position)
WHERE requests.tenant = ? AND requests.member = ? AND submitted_at >= ?
"""
_UNACCOUNTED: Final = """
SELECT events.* FROM calls JOIN events USING (position)
WHERE NOT ended AND lease_expires_at > ? ORDER BY position
"""


class SqliteLogReader:
    """All of `EventLog` that reads, and `RequestView`, on a file that this or another process writes."""

    def __init__(
        self, pool: SqlitePool, rows: EventRows, clock: Clock, epoch: str, members_remembered: int = 0
    ) -> None:
        self._people = PeopleAskedAbout(self._submitted_since, members_remembered)
        self._pool = pool
        self._rows = rows
        self._clock = clock
        self._epoch = epoch

    @staticmethod
    async def open_for_reading(path: Path, *, clock: Clock, sealer: Sealer | None = None) -> SqliteLogReader:
        """Open a log that exists, without a lock, whoever writes it; `sealer` is the one it is written with.

        Raises LogUnavailable or LogCorrupt.
        """
        sealer = sealer or PlainSealer()
        pool = SqlitePool(path)
        try:
            epoch = await pool.run(partial(_checked_epoch, path=path, sealer=sealer))
        except BaseException:
            await pool.close()
            raise
        return SqliteLogReader(pool, EventRows(path, sealer), clock, epoch)

    async def close(self) -> None:
        """Finish what is being read and let go of the file."""
        await self._pool.close()

    @property
    def epoch(self) -> str:
        return self._epoch

    async def read(self, topic: Topic, *, after: int, limit: int) -> Sequence[Recorded]:
        return await self._recorded(_READ[topic], (after, limit))

    async def read_member(
        self, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int
    ) -> Sequence[Recorded]:
        return await self._recorded(_READ_MEMBER, (tenant_id, member_id, after, limit))

    async def read_request(self, request_id: RequestId, *, after: int = 0) -> Sequence[Recorded]:
        return await self._recorded(_READ_REQUEST, (request_id, after))

    async def read_payers(self, *, after: int, limit: int) -> Sequence[Recorded]:
        return await self.read(Topic.PAYER, after=after, limit=limit)

    async def member_span(self, tenant_id: TenantId, member_id: MemberId, *, reaching: int = 0) -> Span:  # noqa: ARG002 - all share one order, and it is known here as it grows
        return await self._span(Topic.RTE)

    async def payers_span(self, *, reaching: int = 0) -> Span:  # noqa: ARG002 - see above
        return await self._span(Topic.PAYER)

    async def _span(self, topic: Topic) -> Span:
        return Span(floor=await self.floor(topic), end=await self.end(topic))

    async def latest_per_payer(self) -> Sequence[Recorded]:
        return await self._recorded(_LATEST_PER_PAYER, ())

    async def end(self, topic: Topic) -> int:
        return await self._pool.run(partial(end, topic=topic))

    async def floor(self, topic: Topic) -> int:
        return await self._pool.run(partial(floor, topic=topic))

    async def wait_beyond(self, topic: Topic, position: int) -> None:
        """As the port says, within a quarter of a second: another process does not tell when it writes."""
        while await self.end(topic) <= position:
            await self._clock.sleep(_LOOK_SECONDS)

    async def get(self, tenant_id: TenantId, request_id: RequestId) -> RequestState | None:
        state = _state(await self.read_request(request_id))
        return state if state is not None and state.tenant_id == tenant_id else None

    async def states(self, request_ids: Sequence[RequestId]) -> Sequence[RequestState]:
        return _states(await self._recorded(_READ_REQUESTS, (json.dumps(list(request_ids)),)))

    async def page(
        self,
        tenant_id: TenantId,
        *,
        member_id: MemberId | None,
        statuses: frozenset[RequestStatus],
        first: int,
        before: int | None,
    ) -> RequestPage:
        query = _PAGE if member_id is None else _PAGE_OF_MEMBER
        wanted = {
            "tenant": tenant_id,
            "member": member_id,
            "statuses": json.dumps(sorted(statuses)),
            "before": before,
            "limit": first + 1,
        }
        found = _states(await self._recorded(query, wanted))
        return RequestPage(
            requests=tuple(found[:first]),
            places=tuple(state.submitted_position for state in found[:first]),
            has_next=len(found) > first,
        )

    async def open_requests(self) -> AsyncIterator[RequestState]:
        position = 0
        while states := _states(await self._recorded(_OPEN, (position, _OPEN_CHUNK_REQUESTS))):
            for state in states:
                yield state
            position = states[-1].submitted_position

    async def people_asked_about(
        self, tenant_id: TenantId, member_id: MemberId, caller: str, since: datetime
    ) -> frozenset[str]:
        return await self._people.since(tenant_id, member_id, caller, since)

    async def _submitted_since(self, tenant_id: TenantId, member_id: MemberId, time: datetime) -> Sequence[Recorded]:
        return await self._recorded(_SUBMITTED_SINCE, (tenant_id, member_id, to_microseconds(time)))

    async def calls_unaccounted(self, leased_after: datetime) -> Sequence[Recorded]:
        return await self._recorded(_UNACCOUNTED, (to_microseconds(leased_after),))

    async def _recorded(self, query: str, values: Sequence[object] | Mapping[str, object]) -> Sequence[Recorded]:
        """The events that a query finds, read and decoded in a thread."""
        return await self._pool.run(
            lambda connection: [self._rows.recorded(row) for row in connection.execute(query, values).fetchall()]
        )


def end(connection: sqlite3.Connection, topic: Topic) -> int:
    """The position of the topic's newest event ever written; 0 if there was none."""
    newest = connection.execute(_NEWEST[topic]).fetchone()
    return max(0 if newest is None else newest[0], floor(connection, topic))


def _checked_epoch(connection: sqlite3.Connection, path: Path, sealer: Sealer) -> str:
    check(connection, path, sealer)
    return str(meta(connection, "epoch"))


def _state(events: Iterable[Recorded]) -> RequestState | None:
    """Where a request stands after all its events."""
    state: RequestState | None = None
    return reduce(fold, events, state)


def _states(events: Iterable[Recorded]) -> Sequence[RequestState]:
    """Where requests stand whose events lie behind each other."""
    folded = (_state(of_request) for _, of_request in groupby(events, key=lambda recorded: recorded.event.subject))
    return [state for state in folded if state is not None]
