"""A log whose appends are in the views of every instance before they are answered: read-your-writes, anywhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from bus.events import Event, Recorded, Topic
from bus.ids import MemberId, RequestId, TenantId
from bus.log import EventLog, Span

_WITHIN_SECONDS: Final = 0.25
"""Views come some milliseconds behind; where they are late or away, what is durable is answered without them."""


class ShownLog:
    """An `EventLog`. `show` waits until the views have the event, for so many seconds at most."""

    def __init__(self, log: EventLog, show: Callable[[Recorded, float], Awaitable[bool]]) -> None:
        self._log = log
        self._show = show

    @property
    def epoch(self) -> str:
        return self._log.epoch

    async def append(self, events: Sequence[Event]) -> Sequence[Recorded | None]:
        results = await self._log.append(events)
        own = [recorded for recorded in results if recorded is not None and recorded.event.topic is Topic.RTE]
        if own:
            await self._show(own[-1], _WITHIN_SECONDS)
        return results

    async def read_member(
        self, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int
    ) -> Sequence[Recorded]:
        return await self._log.read_member(tenant_id, member_id, after=after, limit=limit)

    async def member_span(self, tenant_id: TenantId, member_id: MemberId, *, reaching: int = 0) -> Span:
        return await self._log.member_span(tenant_id, member_id, reaching=reaching)

    async def read_request(self, request_id: RequestId, *, after: int = 0) -> Sequence[Recorded]:
        return await self._log.read_request(request_id, after=after)

    async def read_payers(self, *, after: int, limit: int) -> Sequence[Recorded]:
        return await self._log.read_payers(after=after, limit=limit)

    async def payers_span(self, *, reaching: int = 0) -> Span:
        return await self._log.payers_span(reaching=reaching)

    async def latest_per_payer(self) -> Sequence[Recorded]:
        return await self._log.latest_per_payer()
