"""Taking up what an earlier life of the program left open, from the log alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import structlog

from bus.clock import Clock
from bus.events import Downtime, Enqueued, EventData, Started
from bus.fold import RequestState, RequestStatus
from bus.log import EventLog, RequestView
from scheduler.admission import Admission
from scheduler.calls import CUT_OFF
from scheduler.dispatcher import Dispatcher
from scheduler.journal import Journal

_logger = structlog.get_logger(__name__)


async def recover(
    *,
    log: EventLog,
    requests: RequestView,
    journal: Journal,
    admission: Admission,
    dispatcher: Dispatcher,
    clock: Clock,
    lease_seconds: float,
) -> int:
    """Rebuild slots, breakers and queue; how many open requests were taken up.

    A call whose end is not in the log may still be counted by its payer: its slot stays taken until its lease ends
    (never longer than `lease_seconds` from now, even if the clock jumped back), and its requests get another attempt.
    """
    await _hold_slots(requests, admission, clock, lease_seconds)
    for recorded in await log.latest_per_payer():
        data = recorded.event.data
        if isinstance(data, Downtime) and not data.available:
            await admission.open_breaker(data.payer_id, clock.monotonic())
    count = 0
    async for state in requests.open_requests():
        request = journal.take_in(state)
        await journal.write_surely([state.request_id], _next_events)
        await dispatcher.offer_again([request])
        count += 1
    if count:
        _logger.info("requests_recovered", count=count)
    return count


async def _hold_slots(requests: RequestView, admission: Admission, clock: Clock, lease_seconds: float) -> None:
    now, wall = clock.monotonic(), clock.now()
    for recorded in await requests.calls_unaccounted(wall):
        data = recorded.event.data
        assert isinstance(data, Started)  # the view's promise
        left_seconds = min((data.lease_expires_at - wall).total_seconds(), lease_seconds)
        await admission.hold(data.call_id, data.payer_id, now + left_seconds, now)


def _next_events(state: RequestState) -> Sequence[EventData]:
    match state.status:
        case RequestStatus.SUBMITTED:
            return [Enqueued(payer_id=state.payer_id)]
        case RequestStatus.SCHEDULED | RequestStatus.STARTED:
            return [Enqueued(payer_id=state.payer_id, cause=CUT_OFF)]
        case (
            RequestStatus.ENQUEUED
            | RequestStatus.COMPLETED
            | RequestStatus.FAILED
            | RequestStatus.TIMEOUT
            | RequestStatus.CANCELLED
        ):
            return []
        case _:
            assert_never(state.status)
