"""What many workers keep up together: each says that it lives, and mends what another could not finish.

The log decides between two that mend the same: who comes second writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, assert_never

import structlog

from bus.clock import Clock
from bus.errors import CoveyError
from bus.events import Downtime, Enqueued, EventData, Started
from bus.fold import RequestState, RequestStatus
from bus.ids import RequestId
from bus.log import EventLog, RequestView
from scheduler.admission import RENEWAL_SECONDS, Admission
from scheduler.calls import cut_off, timed_out
from scheduler.dispatcher import Dispatcher
from scheduler.journal import Journal, NextEvents

SWEEP_SECONDS: Final = 30.0
"""How often what stands still is looked for, by whoever's turn it is."""
TURN_SECONDS: Final = 20.0
"""How long a turn lasts: with the pause below it ends before the next sweep is due, so that one is made in time also
where the last to make one died."""
_TURN_TAKEN_SECONDS: Final = 10.0
_LOOK_AGAIN_SECONDS: Final = 0.02
_LOOK_AGAIN_AT_MOST_SECONDS: Final = 0.5
"""Views are whole within milliseconds of most starts, and a start waits for that; to fill them anew takes a minute."""
_STILL: Final = timedelta(seconds=15)
"""A step from one event to the next takes milliseconds; after so long nobody is on it."""
_LOOKED_AFTER: Final = timedelta(seconds=75)
"""A request that waits in the queue is offered again in two sweeps, in case the first was cut off as well."""

_logger = structlog.get_logger(__name__)


class Turn(Protocol):
    """The port to whose turn it is to sweep: each request is looked at once, not once by everybody."""

    async def acquire(self) -> bool:
        """Whether it is ours for the next `TURN_SECONDS`; also when it was already. May raise StateUnavailable."""
        ...


class Upkeep:
    """The share of one worker, or of one gateway.

    Failures are logged and tried again: nothing that was told once is forgotten.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        requests: RequestView,
        journal: Journal,
        admission: Admission,
        dispatcher: Dispatcher,
        views_whole: Callable[[], Awaitable[bool]],
        turn: Turn,
        lease_seconds: float,
        shared_now: Callable[[], Awaitable[datetime]],
        clock: Clock,
    ) -> None:
        """`views_whole` tells whether `requests` knows of all that the log has: until then nothing is restored. No slot
        is held for longer than `lease_seconds`, whatever another machine's wall clock made of a lease's end.
        `shared_now` is the wall time of a machine that all ask: who is ahead of it ends no request or lease of others
        early.
        """
        self._log = log
        self._requests = requests
        self._journal = journal
        self._admission = admission
        self._dispatcher = dispatcher
        self._views_whole = views_whole
        self._turn = turn
        self._lease_seconds = lease_seconds
        self._shared_now = shared_now
        self._clock = clock
        self._abandoned: set[RequestId] = set()
        self._restore_due = True  # this instance may be the first that meets an empty state
        self._due = asyncio.Event()
        self.restored = asyncio.Event()
        """Set when what instances share was found whole, or made so, for the first time."""

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew(), name="upkeep renews")
            tasks.create_task(self._mend(), name="upkeep mends")
            tasks.create_task(self._take_turns(), name="upkeep sweeps")

    async def _renew(self) -> None:
        while True:
            try:
                renewal = await self._admission.renew(self._clock.monotonic())
            except CoveyError as error:
                _logger.warning("not_renewed", reason=str(error))
            else:
                self._abandoned.update(renewal.abandoned)
                self._restore_due = self._restore_due or renewal.state_lost
                if self._abandoned or self._restore_due:
                    self._due.set()
            await self._clock.sleep(RENEWAL_SECONDS)

    async def _mend(self) -> None:
        pause_seconds = _LOOK_AGAIN_SECONDS
        while True:
            self._due.clear()
            try:
                await self._take_over()
                await self._restore()
            except CoveyError as error:
                _logger.warning("not_mended", reason=str(error))
            if self._restore_due:
                await self._clock.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LOOK_AGAIN_AT_MOST_SECONDS)
            else:
                pause_seconds = _LOOK_AGAIN_SECONDS
                await self._due.wait()  # every renewal tells again what is still to be done

    async def _take_turns(self) -> None:
        while True:
            swept = False
            try:
                if await self._turn.acquire():
                    await self._sweep()
                    swept = True
            except CoveyError as error:
                _logger.warning("not_swept", reason=str(error))
            await self._clock.sleep(SWEEP_SECONDS if swept else _TURN_TAKEN_SECONDS)

    async def _take_over(self) -> None:
        """Give another attempt to requests whose worker fell silent."""
        taken = tuple(self._abandoned)
        if taken:
            await self._journal.write_surely(taken, cut_off)
            await self._dispatcher.offer_waiting(taken)
            self._abandoned.difference_update(taken)
            _logger.warning("calls_taken_over", count=len(taken))

    async def _restore(self) -> None:
        """Put back what shared admission may have forgotten: slots, breakers, and the queue."""
        if not (self._restore_due and await self._views_whole()):
            return
        self._restore_due = False
        try:
            # Before the calls: a request that ends meanwhile began its call, if any, before that is looked up.
            open_requests = [state async for state in self._requests.open_requests()]
            wall, now = await self._wall(), self._clock.monotonic()
            for recorded in await self._requests.calls_unaccounted(wall):
                data = recorded.event.data
                if isinstance(data, Started):
                    left_seconds = min((data.lease_expires_at - wall).total_seconds(), self._lease_seconds)
                    await self._admission.hold(data.call_id, data.payer_id, now + left_seconds, now)
            for recorded in await self._log.latest_per_payer():
                data = recorded.event.data
                if isinstance(data, Downtime) and not data.available:
                    await self._admission.open_breaker(data.payer_id, now)
            waiting = [state.request_id for state in open_requests if state.status is RequestStatus.ENQUEUED]
            await self._dispatcher.offer_waiting(waiting)
            if not open_requests:
                await self._admission.vouch(self._clock.monotonic())
            self.restored.set()
        except BaseException:
            self._restore_due = True
            raise

    async def _wall(self) -> datetime:
        """A clock that is behind costs time; one that is ahead would end what has not ended."""
        return min(self._clock.now(), await self._shared_now())

    async def _sweep(self) -> None:
        """Move on what stands still: its worker, or the gateway that accepted it, was killed between two steps."""
        now = await self._wall()
        async for state in self._requests.open_requests():
            still = now - state.updated_at
            match state.status:
                case RequestStatus.SUBMITTED:
                    mend = still > _STILL
                case RequestStatus.ENQUEUED:
                    mend = _STILL < still < _LOOKED_AFTER
                case RequestStatus.SCHEDULED | RequestStatus.STARTED:
                    mend = state.lease_expires_at is None or now > state.lease_expires_at + _STILL
                case RequestStatus.COMPLETED | RequestStatus.FAILED | RequestStatus.TIMEOUT | RequestStatus.CANCELLED:
                    mend = False
                case _:
                    assert_never(state.status)
            if now > state.deadline + _STILL:  # no worker is left that would have told it
                await self._journal.write_surely([state.request_id], timed_out)
            elif mend:
                await self._journal.write_surely([state.request_id], _unless_moved(state))
                await self._dispatcher.offer_waiting([state.request_id])


def _unless_moved(seen: RequestState) -> NextEvents:
    """What brings an open request that still is where it was seen back into the queue."""

    def next_events(state: RequestState) -> Sequence[EventData]:
        if state.sequence != seen.sequence:
            return []
        return [Enqueued(payer_id=state.payer_id)] if state.status is RequestStatus.SUBMITTED else cut_off(state)

    return next_events
