"""History for many at once: only so many reads at a time, and one for all who want the same.

After a cut everybody comes back with a cursor. Their reads wait in order, so that what is live goes on meanwhile; and
who wants what somebody before them waits for gets it by the same read. A read that began already is never joined: it
may not see what was written since.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Final

from bus.events import Event, Recorded
from bus.ids import MemberId, RequestId, TenantId
from bus.log import EventLog, Span
from bus.metrics import Metrics

_Read = Callable[[], Awaitable[Sequence[Recorded]]]


class _Wanted:
    """A read that did not begin yet, and how many wait for it."""

    __slots__ = ("key", "read", "result")

    def __init__(self, key: Hashable, read: _Read, result: asyncio.Future[Sequence[Recorded]]) -> None:
        self.key = key
        self.read = read
        self.result = result


class BudgetedLog:
    """An `EventLog` whose reads of history have `at_once` places."""

    def __init__(self, log: EventLog, metrics: Metrics, *, at_once: int = 8) -> None:
        self._log = log
        self._free = at_once
        self._own: Final = metrics.history_reads.labels("own")
        self._shared: Final = metrics.history_reads.labels("shared")
        self._queue: deque[_Wanted] = deque()
        self._wanted: dict[Hashable, _Wanted] = {}
        self._reading: set[asyncio.Task[None]] = set()

    @property
    def epoch(self) -> str:
        return self._log.epoch

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        return await self._log.append(events, ids_are_new=ids_are_new)

    async def read_member(
        self, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int
    ) -> Sequence[Recorded]:
        key = ("member", tenant_id, member_id, after, limit)
        return await self._in_turn(key, lambda: self._log.read_member(tenant_id, member_id, after=after, limit=limit))

    async def member_span(self, tenant_id: TenantId, member_id: MemberId, *, reaching: int = 0) -> Span:
        return await self._log.member_span(tenant_id, member_id, reaching=reaching)

    async def read_request(self, request_id: RequestId, *, after: int = 0) -> Sequence[Recorded]:
        key = ("request", request_id, after)
        return await self._in_turn(key, lambda: self._log.read_request(request_id, after=after))

    def beginning(self, request_id: RequestId) -> Recorded | None:
        return self._log.beginning(request_id)

    async def read_payers(self, *, after: int, limit: int) -> Sequence[Recorded]:
        key = ("payers", after, limit)
        return await self._in_turn(key, lambda: self._log.read_payers(after=after, limit=limit))

    async def payers_span(self, *, reaching: int = 0) -> Span:
        return await self._log.payers_span(reaching=reaching)

    async def latest_per_payer(self) -> Sequence[Recorded]:
        return await self._in_turn("latest", self._log.latest_per_payer)

    async def _in_turn(self, key: Hashable, read: _Read) -> Sequence[Recorded]:
        if self._free:
            self._free -= 1
            self._own.inc()
            try:
                return await read()
            finally:
                self._hand_on()
        wanted = self._wanted.get(key)
        if wanted is None:
            wanted = self._wanted[key] = _Wanted(key, read, asyncio.get_running_loop().create_future())
            self._queue.append(wanted)
            self._own.inc()
        else:
            self._shared.inc()
        return await asyncio.shield(wanted.result)  # who goes away does not take it from the others

    def _hand_on(self) -> None:
        if not self._queue:
            self._free += 1
            return
        wanted = self._queue.popleft()
        del self._wanted[wanted.key]
        task = asyncio.create_task(self._read(wanted), name="history read")
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, wanted: _Wanted) -> None:
        result: Any = wanted.result
        try:
            result.set_result(await wanted.read())
        except asyncio.CancelledError:
            result.cancel()
            raise
        except Exception as error:  # told to whoever waits; where nobody does any more, nobody misses it
            result.set_exception(error)
            result.exception()
        finally:
            self._hand_on()
