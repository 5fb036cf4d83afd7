"""What people's requests meet of the scheduler: the queue, a place in it, and the way out of it.

Between any two awaits the process may be killed: what the log holds is enough for `scheduler.recovery` to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, assert_never

import structlog

from bus.clock import Clock
from bus.errors import LogUnavailable, StateUnavailable
from bus.events import Cancelled, Enqueued, EventData, Priority, Scheduled, Started
from bus.fold import RequestState, RequestStatus
from bus.ids import CallId, RequestId, TenantId
from bus.metrics import Metrics
from scheduler.admission import Admission, AdmissionStatus, Ask, Joined, QueuePlace
from scheduler.calls import CUT_OFF
from scheduler.errors import AlreadyFinished, QueueFull
from scheduler.journal import Journal, NextEvents, OpenRequest
from scheduler.tasks import Tasks

AGAIN_SECONDS: Final = 1.0
"""How long what could not be recorded or decided waits before it is tried again."""
_MOST_LATER: Final = 1_000
"""Requests that may wait for an admission that is away; each tries again every second."""
_LATER_RETRY_SECONDS: Final = 30
_LONGEST_DEADLINE_SECONDS: Final = 600.0
"""The contract's longest deadline; what is left of one is never more, even if the clock jumped back."""

_logger = structlog.get_logger(__name__)


class Dispatcher:
    """Puts requests into admission and takes them out; a `Worker`, in this process or another, makes their calls.

    Admission that cannot be reached costs time, never a request: what is durable is queued when it is back.
    """

    def __init__(self, *, journal: Journal, admission: Admission, clock: Clock, metrics: Metrics) -> None:
        self._journal = journal
        self._admission = admission
        self._clock = clock
        self.changed = asyncio.Event()
        """Set when a worker may have something to do; for it to wait on, and to clear."""
        self.later = Tasks(metrics)
        """Requests that could not be queued at once."""

    async def room(self, tenant_id: TenantId, priority: Priority) -> None:
        """Raises QueueFull where a request would not be taken now."""
        try:
            await self._admission.room(tenant_id, priority, self._clock.monotonic())
        except StateUnavailable:
            if len(self.later) >= _MOST_LATER:
                raise QueueFull(_LATER_RETRY_SECONDS) from None

    async def accept(self, state: RequestState) -> RequestState:
        """Queue a request whose `rte.submitted` is durable; the request, with its place in the queue.

        A log or an admission that is away now does not undo what was accepted: the request is queued as soon as it is
        back.
        """
        request = self._journal.take_in(state)
        try:
            await self._enqueue(request)
        except (LogUnavailable, StateUnavailable):
            self.later.spawn(self._enqueue_later(request), "enqueue")
        return request.state

    async def cancel(self, state: RequestState) -> RequestState:
        """End the request now; a call under way runs on and feeds the cache.

        Raises AlreadyFinished, or LogUnavailable with nothing changed.
        """
        if state.status.terminal:
            raise AlreadyFinished
        self._journal.take_in(state)
        async with self._journal.holding([state.request_id]) as held:
            written = await self._journal.write(held, lambda now: [Cancelled(payer_id=now.payer_id)])
        if not written:
            raise AlreadyFinished
        await self._leave(state.request_id)
        self.changed.set()
        return written[0].state

    async def place(self, request_id: RequestId) -> QueuePlace | None:
        """Where the request stands in the queue; None if it does not wait there, or that cannot be told now."""
        with suppress(StateUnavailable):
            return await self._admission.place(request_id, self._clock.monotonic())
        return None

    async def status(self) -> AdmissionStatus:
        """A picture for operators and metrics. Raises StateUnavailable."""
        return await self._admission.status(self._clock.monotonic())

    async def offer_again(self, requests: Sequence[OpenRequest], delay_seconds: float = 0.0) -> None:
        """Queue requests whose latest event says that they wait; `delay_seconds` where no event says until when."""
        for request in requests:
            offered = await self._offer_surely(request.state, delay_seconds)
            if isinstance(offered, Joined):
                joined = self.under_way(offered.call_id, offered.lease_expires)
                await self._journal.write_surely([request.state.request_id], joined)
        if requests:
            self.changed.set()

    async def offer_waiting(self, request_ids: Sequence[RequestId]) -> None:
        """Queue those of the requests that are open and wait; one that is queued already stays where it is."""
        still_open = await self._journal.still_open(request_ids)
        await self.offer_again([request for request in still_open if request.state.status is RequestStatus.ENQUEUED])

    def under_way(self, call_id: CallId, lease_expires: float) -> NextEvents:
        """What is next for open requests when the call that they wait for has its slot; nothing where that is told.

        One that was accepted elsewhere may be granted before its `rte.enqueued` is in the log. One that is told to wait
        for another call waits for it no more: that call was given back or taken over, and the log was away just then.
        """

        def next_events(state: RequestState) -> Sequence[EventData]:
            call = self._call_events(state, call_id, lease_expires)
            match state.status:
                case RequestStatus.SUBMITTED:
                    return [Enqueued(payer_id=state.payer_id), *call]
                case RequestStatus.ENQUEUED:
                    return call
                case RequestStatus.SCHEDULED | RequestStatus.STARTED:
                    if state.call_id == call_id:
                        return call[1:] if state.status is RequestStatus.SCHEDULED else []
                    return [Enqueued(payer_id=state.payer_id, cause=CUT_OFF), *call]
                case RequestStatus.COMPLETED | RequestStatus.FAILED | RequestStatus.TIMEOUT | RequestStatus.CANCELLED:
                    return []
                case _:
                    assert_never(state.status)

        return next_events

    async def _enqueue(self, request: OpenRequest) -> None:
        async with request.lock:
            if request.state.status.terminal:
                return
            offered = await self._offer(request.state)
            try:
                await self._journal.write([request], lambda state: self._enqueued(state, offered))
            except LogUnavailable:
                await self._leave(request.state.request_id)
                raise
        self.changed.set()

    async def _enqueue_later(self, request: OpenRequest) -> None:
        while True:
            await self._clock.sleep(AGAIN_SECONDS)
            with suppress(LogUnavailable, StateUnavailable):
                return await self._enqueue(request)

    async def _leave(self, request_id: RequestId) -> None:
        """Out of the queue. Where admission is away nothing is lost: a call that nobody waits for is not made."""
        with suppress(StateUnavailable):
            await self._admission.leave(request_id, self._clock.monotonic())

    async def _offer_surely(self, state: RequestState, delay_seconds: float) -> QueuePlace | Joined:
        while True:
            try:
                return await self._offer(state, delay_seconds)
            except StateUnavailable as error:
                _logger.warning("admission_away", reason=str(error), retry_in_seconds=AGAIN_SECONDS)
            await self._clock.sleep(AGAIN_SECONDS)

    async def _offer(self, state: RequestState, delay_seconds: float = 0.0) -> QueuePlace | Joined:
        now, wall = self._clock.monotonic(), self._clock.now()
        left_seconds = min((state.deadline - wall).total_seconds(), _LONGEST_DEADLINE_SECONDS)
        if state.not_before is not None:
            delay_seconds = max(delay_seconds, min((state.not_before - wall).total_seconds(), left_seconds))
        ask = Ask(
            request_id=state.request_id,
            tenant_id=state.tenant_id,
            payer_id=state.payer_id,
            question_key=state.question.key(state.tenant_id),
            priority=state.priority,
            deadline=now + left_seconds,
            not_before=now + delay_seconds,
        )
        return await self._admission.offer(ask, now)

    def _enqueued(self, state: RequestState, offered: QueuePlace | Joined) -> Sequence[EventData]:
        if state.status is not RequestStatus.SUBMITTED:
            return []
        if isinstance(offered, Joined):
            under_way = self._call_events(state, offered.call_id, offered.lease_expires)
            return [Enqueued(payer_id=state.payer_id, estimated_wait_seconds=0.0), *under_way]
        return [
            Enqueued(
                payer_id=state.payer_id,
                queue_position=offered.queue_position,
                estimated_wait_seconds=offered.estimated_wait_seconds,
            )
        ]

    def _call_events(self, state: RequestState, call_id: CallId, lease_expires: float) -> Sequence[EventData]:
        expires_at = self._clock.now() + timedelta(seconds=lease_expires - self._clock.monotonic())
        return [
            Scheduled(payer_id=state.payer_id, call_id=call_id, lease_expires_at=expires_at),
            Started(payer_id=state.payer_id, call_id=call_id, lease_expires_at=expires_at),
        ]
