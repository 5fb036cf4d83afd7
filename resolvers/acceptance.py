"""Making a request durable and giving it to the dispatcher, as one step that its caller's going away does not break."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from bus.clock import Clock
from bus.events import Event, Submitted
from bus.fold import RequestState, fold
from bus.ids import EventId, NewId, RequestId, TenantId
from bus.log import EventLog
from bus.tally import folded
from bus.traces import began, present
from scheduler.dispatcher import Dispatcher

_SOURCE: Final = "covey/resolvers"

_logger = structlog.get_logger(__name__)


class Acceptance:
    """Writes the first event of requests. Owns a task for each while it is under way; close it after the doors."""

    def __init__(self, *, log: EventLog, dispatcher: Dispatcher, clock: Clock, new_id: NewId) -> None:
        self._log = log
        self._dispatcher = dispatcher
        self._clock = clock
        self._new_id = new_id
        self._under_way: set[asyncio.Task[RequestState | None]] = set()

    async def accept(
        self, request_id: RequestId, tenant_id: TenantId, submitted: Submitted, *, id_is_new: bool = False
    ) -> RequestState | None:
        """The new request, durable and queued; None where one of this id exists, which need not be looked for if the id
        was just made (`id_is_new`).

        A caller that is cancelled meanwhile does not keep a durable request from being queued. Raises LogUnavailable
        with nothing accepted.
        """
        task = asyncio.create_task(
            self._accept(request_id, tenant_id, submitted, id_is_new), name=f"accept {request_id}"
        )
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def standing(self, tenant_id: TenantId, request_id: RequestId) -> RequestState | None:
        """The tenant's request of this id as the log has it: where another submission of it came first, views may not
        know it yet. May raise LogUnavailable."""
        state = await folded(self._log, request_id)
        return state if state is not None and state.tenant_id == tenant_id else None

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _accept(
        self, request_id: RequestId, tenant_id: TenantId, submitted: Submitted, id_is_new: bool
    ) -> RequestState | None:
        # In a task of its own: every line that is logged on the way has the request's id.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        with began("accept request", payer=submitted.payer_id, priority=submitted.priority):
            event = self._event(request_id, tenant_id, submitted)
            with began("append"):
                (recorded,) = await self._log.append([event], ids_are_new=id_is_new)
            state = None if recorded is None else fold(None, recorded)
            if state is None:
                return None
            _logger.info("request_accepted", payer_id=state.payer_id, priority=state.priority.value)
            return await self._dispatcher.accept(state)

    def _event(self, request_id: RequestId, tenant_id: TenantId, submitted: Submitted) -> Event:
        return Event(
            id=EventId(self._new_id()),
            source=_SOURCE,
            subject=request_id,
            time=self._clock.now(),
            data=submitted,
            tenant_id=tenant_id,
            member_id=submitted.question.member_id,
            sequence=1,
            attempt=1,
            traceparent=present(),
        )

    def _ended(self, task: asyncio.Task[RequestState | None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked was told, unless they have gone
