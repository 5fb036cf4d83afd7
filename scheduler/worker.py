"""Making the calls: a slot is granted, the log is told, the payer is asked, and what came is recorded.

Between any two awaits the process may be killed: what the log holds is enough for another to go on.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog
from msgspec.structs import replace

from bus.clock import Clock
from bus.errors import EventTooLarge, LogUnavailable, StateUnavailable
from bus.events import Answered, Downtime
from bus.failure import Failure, FailureKind
from bus.fold import RequestState
from bus.ids import CallId, RequestId
from bus.metrics import Metrics
from bus.question import Question
from bus.traces import continued
from payer.outcome import Answer, Outcome, Rejection, Unfinished
from scheduler.admission import Admission, BreakerChange, CallEnd, Grant, Settled
from scheduler.calls import cut_off, end_of, next_events, proven_over, timed_out
from scheduler.dispatcher import AGAIN_SECONDS, Dispatcher
from scheduler.journal import Journal
from scheduler.retries import RetryPolicy
from scheduler.tasks import Tasks

_CALL_FAILED: Final = Failure(
    code="INTERNAL", kind=FailureKind.INTERNAL, message="The call failed by a fault of ours. Operators were told."
)
_TOO_LARGE: Final = Failure(
    code="ANSWER_TOO_LARGE",
    kind=FailureKind.INTERNAL,
    message="The payer's answer is larger than can be kept. Operators can let the log take larger events.",
)
_HAND_OVER_SECONDS: Final = 5.0
"""Redis and Kafka take milliseconds for it; where they are away, a stop does not wait for them."""

_logger = structlog.get_logger(__name__)


class Payer(Protocol):
    """The port to the payers. Adapter: Stedi's HTTP, which the simulator speaks too."""

    async def check(self, question: Question, request_id: RequestId) -> Outcome:
        """Ask once. Raises nothing for what the wire brings; may take minutes; cancelling it frees no slot."""
        ...


class Worker:
    """Drives admission: the one place where calls start and end."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        journal: Journal,
        admission: Admission,
        payer: Payer,
        longest_call_seconds: float,
        retries: RetryPolicy,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """`longest_call_seconds` is after how long `payer` gives a call up."""
        self._dispatcher = dispatcher
        self._journal = journal
        self._admission = admission
        self._payer = payer
        self._longest_call_seconds = longest_call_seconds
        self._retries = retries
        self._clock = clock
        self._metrics = metrics
        self._draining = False
        self._calls = Tasks(metrics)
        self._asking: dict[CallId, tuple[Grant, asyncio.Task[Outcome]]] = {}
        self._expiries = Tasks(metrics)

    async def run(self) -> None:
        """Grant, call and expire until cancelled."""
        changed = self._dispatcher.changed
        try:
            while True:
                changed.clear()
                try:
                    wakeup = await self._decide()
                except StateUnavailable as error:
                    _logger.warning("admission_away", reason=str(error), retry_in_seconds=AGAIN_SECONDS)
                    wakeup = self._clock.monotonic() + AGAIN_SECONDS
                await self._until_changed(wakeup)
        finally:
            await self._calls.cancel()
            await self._expiries.cancel()
            await self._dispatcher.later.cancel()

    async def listen(self) -> None:
        """Look again whenever another instance has changed something, until cancelled. Only where there are others."""
        while True:
            try:
                await self._admission.watch(self._dispatcher.changed.set)
            except StateUnavailable as error:
                _logger.warning("not_listening", reason=str(error))
            await self._clock.sleep(AGAIN_SECONDS)
            self._dispatcher.changed.set()

    async def drain(self, budget_seconds: float) -> int:
        """Send no more calls, and wait for those under way; how many were still under way when the budget ended.

        Those keep their slots by their leases in the log, and their requests are taken up at the next start.
        """
        self._draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(budget_seconds):
                for tasks in (self._calls, self._expiries, self._dispatcher.later):
                    await tasks.settle()
        return len(self._calls)

    async def hand_over(self) -> int:
        """Leave the requests of calls still under way to other workers, which else take them up once this one has been
        silent for long; how many calls could not be left so. To be called after `drain`.

        The calls keep their slots until their leases end. What cannot be handed over within some seconds is found by
        the others' upkeep.
        """
        for grant, task in self._asking.values():
            task.cancel()
            self._calls.spawn(self._leave(grant, CallEnd.LOST), f"leave {grant.call_id}")
        with suppress(TimeoutError):
            async with asyncio.timeout(_HAND_OVER_SECONDS):
                await self._calls.settle()
        return len(self._calls)

    async def _leave(self, grant: Grant, end: CallEnd) -> None:
        settled = await self._settle(grant, end, self._clock.monotonic())
        await self._journal.write_surely(settled.waiters, cut_off)
        await self._dispatcher.offer_waiting(settled.waiters)

    async def _decide(self) -> float | None:
        """Everything that may be done now; when to look again unless something changes."""
        now = self._clock.monotonic()
        while not self._draining and (grant := await self._admission.grant(now)) is not None:
            self._calls.spawn(self._call(grant), f"call {grant.call_id}")
            now = self._clock.monotonic()  # a lease is counted from here, and under load the grants do not end for long
        wakeup = await self._admission.next_wakeup(now)
        if wakeup is not None and wakeup <= now:  # else nobody's time is over
            expired = await self._admission.expired(now)
            if expired:
                self._expiries.spawn(self._expire(expired), "expire")
                wakeup = await self._admission.next_wakeup(now)
        # What is due is for others now.
        return max(wakeup, now + AGAIN_SECONDS) if self._draining and wakeup is not None else wakeup

    async def _expire(self, request_ids: Sequence[RequestId]) -> None:
        await self._journal.write_surely(request_ids, timed_out)

    async def _call(self, grant: Grant) -> None:
        """One call, from its lease to its end. Nothing is sent before the log knows that it may be."""
        structlog.contextvars.bind_contextvars(call_id=grant.call_id)
        granted_at = self._clock.monotonic()
        under_way = self._dispatcher.under_way(grant.call_id, grant.lease_expires)
        try:
            async with self._journal.holding(grant.waiters) as held:
                await self._journal.write(held, under_way)
                # Not: those for whom it was written. Another writer may have come between two of the events.
                waiting = [request for request in held if request.state.call_id == grant.call_id]
        except (LogUnavailable, StateUnavailable):
            waiting = []
        if not waiting:
            await self._give_back(grant)
            return
        if self._draining:  # it might be cut off, and nobody else could make it while it held its slot
            await self._leave(grant, CallEnd.NOT_MADE)
            return
        leader = waiting[0].state
        began = self._clock.monotonic()
        if began + self._longest_call_seconds > grant.lease_expires:
            # The process slept, or the log was slow: the call might outlive its lease, and be one too many for the
            # payer. Nothing has failed: who waits goes back into the queue.
            _logger.warning("call_too_late", late_seconds=round(began - granted_at, 1))
            await self._leave(grant, CallEnd.NOT_MADE)
            return
        with continued("call payer", leader.traceparent, payer=leader.payer_id, attempt=leader.attempt):
            outcome = await self._asked(grant, leader)
        end = end_of(outcome)
        ended = self._clock.monotonic()
        self._metrics.call_seconds.labels(end).observe(ended - began)
        # What the payer said is told meanwhile, and also where Redis is away: only the slot waits.
        final = isinstance(outcome, Answer | Rejection)
        settled, told = await asyncio.gather(
            self._settle(grant, end, ended), self._conclude(grant, leader, outcome, grant.waiters if final else ())
        )
        if settled.calls_wait:
            self._dispatcher.changed.set()
        rest = [request_id for request_id in settled.waiters if not (final and request_id in grant.waiters)]
        if not await self._conclude(grant, leader, outcome, rest) and not told and proven_over(end):
            await self._note_unawaited(grant, leader, outcome)
        if settled.breaker is not None:
            await self._tell(settled.breaker)

    async def _asked(self, grant: Grant, leader: RequestState) -> Outcome:
        asking = asyncio.create_task(self._ask(leader), name=f"ask {grant.call_id}")
        self._asking[grant.call_id] = (grant, asking)
        try:
            return await asking
        finally:
            del self._asking[grant.call_id]

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

    async def _settle(self, grant: Grant, end: CallEnd, ended: float) -> Settled:
        while True:
            try:
                return await self._admission.settle(grant.call_id, end, ended)
            except StateUnavailable as error:
                _logger.warning("admission_away", reason=str(error), retry_in_seconds=AGAIN_SECONDS)
            await self._clock.sleep(AGAIN_SECONDS)

    async def _give_back(self, grant: Grant) -> None:
        """The call was not made: nobody waits any more, or the log is away and they try again."""
        settled = await self._settle(grant, CallEnd.NOT_MADE, self._clock.monotonic())
        again = await self._journal.still_open(settled.waiters)
        await self._dispatcher.offer_again(again, AGAIN_SECONDS)

    async def _conclude(
        self, grant: Grant, leader: RequestState, outcome: Outcome, waiters: Sequence[RequestId]
    ) -> bool:
        """Write the outcome for those of the requests that are open; whether there were any."""
        try:
            return await self._write_end(grant, leader, outcome, waiters)
        except EventTooLarge:
            _logger.error("answer_too_large", request_id=leader.request_id)
            return await self._write_end(grant, leader, Rejection(failure=_TOO_LARGE), waiters)

    async def _write_end(
        self, grant: Grant, leader: RequestState, outcome: Outcome, waiters: Sequence[RequestId]
    ) -> bool:
        if not waiters:
            return False
        still_open = await self._journal.still_open(waiters)
        attempt = max((request.state.attempt for request in still_open), default=leader.attempt)
        delay_seconds = self._retries.delay_seconds(outcome, attempt)
        written = await self._journal.write_surely(
            waiters, lambda state: next_events(state, outcome, grant.call_id, delay_seconds, self._clock.now())
        )
        again = [request for request in written if not request.state.status.terminal]
        await self._dispatcher.offer_again(again)
        return bool(written)

    async def _note_unawaited(self, grant: Grant, leader: RequestState, outcome: Outcome) -> None:
        answered = Answered(
            payer_id=grant.payer_id,
            call_id=grant.call_id,
            question_key=grant.question_key,
            coverage=outcome.coverage if isinstance(outcome, Answer) else None,
        )
        try:
            await self._journal.note(grant.call_id, answered, whose=leader)
        except EventTooLarge:
            _logger.error("answer_too_large", request_id=leader.request_id)
            await self._journal.note(grant.call_id, replace(answered, coverage=None), whose=leader)

    async def _tell(self, change: BreakerChange) -> None:
        downtime = Downtime(payer_id=change.payer_id, available=change.available, since=self._clock.now())
        await self._journal.note(change.payer_id, downtime)

    async def _until_changed(self, wakeup: float | None) -> None:
        seconds = None if wakeup is None else wakeup - self._clock.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._dispatcher.changed.wait()
