"""From an accepted request to its terminal event: queue it, call the payer when a slot is granted, record what came.

Between any two awaits the process may be killed: what the log holds is enough for `scheduler.recovery` to go on.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Protocol

import structlog

from bus.clock import Clock
from bus.errors import LogUnavailable
from bus.events import Answered, Cancelled, Downtime, Enqueued, EventData, Priority, Scheduled, Started, TimedOut
from bus.failure import Failure, FailureKind
from bus.fold import RequestState, RequestStatus
from bus.ids import CallId, RequestId, TenantId
from bus.metrics import Metrics
from bus.question import Question
from payer.outcome import Answer, Outcome, Unfinished
from scheduler.admission import Admission, AdmissionStatus, Ask, BreakerChange, CallEnd, Grant, Joined, Place
from scheduler.calls import end_of, next_events, proven_over
from scheduler.errors import AlreadyFinished
from scheduler.journal import Journal, NextEvents, OpenRequest
from scheduler.retries import RetryPolicy

_AGAIN_SECONDS: Final = 1.0
"""How long what could not be recorded waits before it is tried again."""
_LONGEST_DEADLINE_SECONDS: Final = 600.0
"""The contract's longest deadline; what is left of one is never more, even if the clock jumped back."""

_DEADLINE_PASSED: Final = Failure(
    code="DEADLINE",
    kind=FailureKind.DEADLINE,
    message="No answer came within the time this request was given. Ask again, with a later deadline.",
)
_CALL_FAILED: Final = Failure(
    code="INTERNAL", kind=FailureKind.INTERNAL, message="The call failed by a fault of ours. Operators were told."
)

_logger = structlog.get_logger(__name__)


class Payer(Protocol):
    """The port to the payers. Adapter: Stedi's HTTP, which the simulator speaks too."""

    async def check(self, question: Question, request_id: RequestId) -> Outcome:
        """Ask once. Raises nothing for what the wire brings; may take minutes; cancelling it frees no slot."""
        ...


class Dispatcher:
    """Drives admission: the one place where calls start and end."""

    def __init__(
        self,
        *,
        journal: Journal,
        admission: Admission,
        payer: Payer,
        retries: RetryPolicy,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._admission = admission
        self._payer = payer
        self._retries = retries
        self._clock = clock
        self._metrics = metrics
        self._changed = asyncio.Event()
        self._draining = False
        self._calls: set[asyncio.Task[None]] = set()
        self._chores: set[asyncio.Task[None]] = set()

    async def room(self, tenant_id: TenantId, priority: Priority) -> None:
        """Raises QueueFull where a request would not be taken now."""
        await self._admission.room(tenant_id, priority)

    async def accept(self, state: RequestState) -> RequestState:
        """Queue a request whose `rte.submitted` is durable; the request, with its place in the queue.

        A log that is away now does not undo what was accepted: the request is queued as soon as it is back.
        """
        request = self._journal.take_in(state)
        try:
            await self._enqueue(request)
        except LogUnavailable:
            self._spawn(self._chores, self._enqueue_later(request), "enqueue")
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
        await self._admission.leave(state.request_id, self._clock.monotonic())
        self._changed.set()
        return written[0].state

    async def place(self, request_id: RequestId) -> Place | None:
        """Where the request stands in the queue; None if it does not wait there."""
        return await self._admission.place(request_id, self._clock.monotonic())

    async def status(self) -> AdmissionStatus:
        """A picture for operators and metrics."""
        return await self._admission.status(self._clock.monotonic())

    async def offer_again(self, requests: Sequence[OpenRequest], delay_seconds: float = 0.0) -> None:
        """Queue requests whose latest event says that they wait; `delay_seconds` where no event says until when."""
        for request in requests:
            offered = await self._offer(request.state, delay_seconds)
            if isinstance(offered, Joined):
                joined = self._under_way(offered.call_id, offered.lease_expires)
                await self._journal.write_surely([request.state.request_id], joined)
        self._changed.set()

    async def run(self) -> None:
        """Grant, call and expire until cancelled."""
        try:
            while True:
                self._changed.clear()
                now = self._clock.monotonic()
                expired = await self._admission.expired(now)
                if expired:
                    self._spawn(self._chores, self._expire(expired), "expire")
                while not self._draining and (grant := await self._admission.grant(now)) is not None:
                    self._spawn(self._calls, self._call(grant), f"call {grant.call_id}")
                await self._until_changed(await self._admission.next_wakeup(now))
        finally:
            tasks = [*self._calls, *self._chores]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, budget_seconds: float) -> int:
        """Start no more calls, and wait for those under way; how many were still under way when the budget ended.

        Those keep their slots by their leases in the log, and their requests are taken up at the next start.
        """
        self._draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(budget_seconds):
                while self._calls or self._chores:
                    await asyncio.wait([*self._calls, *self._chores])
        return len(self._calls)

    # Queueing.

    async def _enqueue(self, request: OpenRequest) -> None:
        async with request.lock:
            if request.state.status.terminal:
                return
            offered = await self._offer(request.state)
            try:
                await self._journal.write([request], lambda state: self._enqueued(state, offered))
            except LogUnavailable:
                await self._admission.leave(request.state.request_id, self._clock.monotonic())
                raise
        self._changed.set()

    async def _enqueue_later(self, request: OpenRequest) -> None:
        while True:
            await self._clock.sleep(_AGAIN_SECONDS)
            with suppress(LogUnavailable):
                return await self._enqueue(request)

    async def _offer(self, state: RequestState, delay_seconds: float = 0.0) -> Place | Joined:
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

    def _enqueued(self, state: RequestState, offered: Place | Joined) -> Sequence[EventData]:
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

    def _under_way(self, call_id: CallId, lease_expires: float) -> NextEvents:
        return lambda state: (
            self._call_events(state, call_id, lease_expires) if state.status is RequestStatus.ENQUEUED else []
        )

    def _call_events(self, state: RequestState, call_id: CallId, lease_expires: float) -> Sequence[EventData]:
        expires_at = self._clock.now() + timedelta(seconds=lease_expires - self._clock.monotonic())
        return [
            Scheduled(payer_id=state.payer_id, call_id=call_id, lease_expires_at=expires_at),
            Started(payer_id=state.payer_id, call_id=call_id, lease_expires_at=expires_at),
        ]

    async def _expire(self, request_ids: Sequence[RequestId]) -> None:
        await self._journal.write_surely(
            request_ids, lambda state: [TimedOut(payer_id=state.payer_id, failure=_DEADLINE_PASSED)]
        )

    # Calling.

    async def _call(self, grant: Grant) -> None:
        """One call, from its lease to its end. Nothing is sent before the log knows that it may be."""
        try:
            async with self._journal.holding(grant.waiters) as held:
                waiting = await self._journal.write(held, self._under_way(grant.call_id, grant.lease_expires))
        except LogUnavailable:
            waiting = []
        if not waiting:
            await self._give_back(grant)
            return
        leader = waiting[0].state
        began = self._clock.monotonic()
        outcome = await self._ask(leader)
        ended = self._clock.monotonic()
        end = end_of(outcome)
        self._metrics.call_seconds.labels(end).observe(ended - began)
        settled = await self._admission.settle(grant.call_id, end, ended)
        self._changed.set()
        await self._conclude(grant, leader, outcome, settled.waiters)
        if settled.breaker is not None:
            await self._tell(settled.breaker)

    async def _ask(self, leader: RequestState) -> Outcome:
        try:
            return await self._payer.check(leader.question, leader.request_id)
        except Exception as error:
            # A fault of ours must not cost the request its end. Whether the call was sent is not known. The error's
            # own words are not logged: they may repeat what was asked.
            frames = traceback.format_tb(error.__traceback__)
            _logger.error("call_failed", request_id=leader.request_id, error=type(error).__name__, frames=frames)
            self._metrics.internal_errors.labels("payer").inc()
            return Unfinished(failure=_CALL_FAILED, timed_out=False)

    async def _give_back(self, grant: Grant) -> None:
        """The call was not made: nobody waits any more, or the log is away and they try again."""
        settled = await self._admission.settle(grant.call_id, CallEnd.NOT_MADE, self._clock.monotonic())
        async with self._journal.holding(settled.waiters) as held:
            again = held
        await self.offer_again(again, _AGAIN_SECONDS)

    async def _conclude(
        self, grant: Grant, leader: RequestState, outcome: Outcome, waiters: Sequence[RequestId]
    ) -> None:
        async with self._journal.holding(waiters) as held:
            attempt = max((request.state.attempt for request in held), default=leader.attempt)
        delay_seconds = self._retries.delay_seconds(outcome, attempt)
        written = await self._journal.write_surely(
            waiters, lambda state: next_events(state, outcome, grant.call_id, delay_seconds, self._clock.now())
        )
        if not written and proven_over(end_of(outcome)):
            await self._note_unawaited(grant, leader, outcome)
        await self.offer_again([request for request in written if not request.state.status.terminal])

    async def _note_unawaited(self, grant: Grant, leader: RequestState, outcome: Outcome) -> None:
        answered = Answered(
            payer_id=grant.payer_id,
            call_id=grant.call_id,
            question_key=grant.question_key,
            coverage=outcome.coverage if isinstance(outcome, Answer) else None,
        )
        await self._journal.note(grant.call_id, answered, whose=leader)

    async def _tell(self, change: BreakerChange) -> None:
        downtime = Downtime(payer_id=change.payer_id, available=change.available, since=self._clock.now())
        await self._journal.note(change.payer_id, downtime)

    # Tasks.

    async def _until_changed(self, wakeup: float | None) -> None:
        if wakeup is None:
            await self._changed.wait()
            return
        alarm = asyncio.create_task(self._ring(wakeup), name="dispatcher alarm")
        try:
            await self._changed.wait()
        finally:
            alarm.cancel()
            with suppress(asyncio.CancelledError):
                await alarm

    async def _ring(self, at: float) -> None:
        await self._clock.sleep(at - self._clock.monotonic())
        self._changed.set()

    def _spawn(self, owner: set[asyncio.Task[None]], work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        owner.add(task)
        task.add_done_callback(lambda done: self._ended(owner, done))

    def _ended(self, owner: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
        owner.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("task_failed", task=task.get_name(), exc_info=task.exception())
            self._metrics.internal_errors.labels("dispatcher").inc()
