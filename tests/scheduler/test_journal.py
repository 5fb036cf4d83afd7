"""The next events of open requests, written beside others who write for the same ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from bus.clock import SystemClock
from bus.events import Enqueued, Event, EventData, Recorded, Scheduled
from bus.fold import RequestState, RequestStatus
from bus.ids import CallId, TenantId, random_id
from bus.memory_log import MemoryLog
from bus.metrics import Metrics
from scheduler.journal import Journal
from tests.bus.conftest import enqueued, submitted
from tests.virtual_time import VirtualClock, run_virtually


class Overtaken(MemoryLog):
    """Somebody else's event comes first, and the reader is quick to tell of it."""

    rival: Event | None = None
    journal: Journal | None = None

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        if self.rival is not None and self.journal is not None:
            first = await super().append([self.rival])
            self.rival = None
            await self.journal.take([recorded for recorded in first if recorded is not None])
        return await super().append(events, ids_are_new=ids_are_new)


def next_of(state: RequestState) -> Sequence[EventData]:
    if state.status is RequestStatus.SUBMITTED:
        return [Enqueued(payer_id=state.payer_id)]
    return [Scheduled(payer_id=state.payer_id, call_id=CallId("call"), lease_expires_at=state.deadline)]


async def test_who_is_overtaken_goes_on_behind_what_came_first_though_the_reader_told_of_it_already() -> None:
    log = Overtaken("epoch")
    log.journal = journal = Journal(log, log, SystemClock(), random_id, Metrics())
    first = submitted("r1")
    await log.append([first])
    [state] = await log.states([first.request_id]) if first.request_id else []
    request = journal.take_in(state)
    log.rival = enqueued(first)

    with capture_logs() as lines:
        written = await journal.write([request], next_of)

    assert lines == []
    assert written == [request]
    assert (request.state.status, request.state.sequence) == (RequestStatus.SCHEDULED, 3)
    found = await log.get(TenantId("t1"), request.state.request_id)
    assert found is not None and found.status is RequestStatus.SCHEDULED


@pytest.mark.parametrize(("told", "found_after_seconds"), [(True, 0.003), (False, 0.02)])
def test_who_speaks_of_a_request_before_it_is_known_goes_on_when_the_reader_brings_it_and_soon_if_another_does(
    told: bool, found_after_seconds: float
) -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        journal = Journal(log, log, clock, random_id, Metrics())
        first = submitted("r1")
        assert first.request_id is not None
        asking = asyncio.create_task(journal.still_open([first.request_id]))
        await clock.sleep(0.003)
        recorded = [one for one in await log.append([first]) if one is not None]
        if told:
            await journal.take(recorded)
        assert [request.state.request_id for request in await asking] == [first.request_id]
        assert clock.monotonic() == found_after_seconds

    run_virtually(main())
