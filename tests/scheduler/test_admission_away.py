"""Admission that cannot be reached, as shared one may be: it costs time, and no request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from bus.errors import StateUnavailable
from bus.events import Event, EventType, Priority, Recorded
from bus.fold import RequestStatus
from bus.memory_log import MemoryLog
from scheduler.errors import AlreadyFinished, QueueFull
from scheduler.memory_admission import MemoryAdmission
from tests.scheduler.world import LEASE_SECONDS, LONGEST_CALL_SECONDS, TENANT, World, living, unreachable
from tests.virtual_time import VirtualClock, run_virtually


class AwayAdmission(MemoryAdmission):
    """Decides nothing while it is away."""

    away = False

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name != "away" and self.away:
            raise StateUnavailable("Redis is away.")
        return super().__getattribute__(name)


def _admission(world: World) -> AwayAdmission:
    return cast("AwayAdmission", world.admission)


class SlowLog(MemoryLog):
    """Takes its time for what says that a call is made, as if the process had been frozen there."""

    clock: VirtualClock
    freezes_seconds = 0.0

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        if events and events[-1].type is EventType.STARTED:
            await self.clock.sleep(self.freezes_seconds)
        return await super().append(events, ids_are_new=ids_are_new)


def test_what_is_accepted_meanwhile_is_queued_when_admission_is_back() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), admission_type=AwayAdmission) as world:
            _admission(world).away = True
            await world.dispatcher.room(TENANT, Priority.INTERACTIVE)
            state = await world.submit(deadline_seconds=600)
            assert state.status is RequestStatus.SUBMITTED
            assert await world.dispatcher.place(state.request_id) is None
            await world.clock.sleep(30)
            assert await world.types(state) == ["submitted"]
            _admission(world).away = False
            await world.clock.sleep(10)
            assert await world.types(state) == ["submitted", "enqueued", "scheduled", "started", "completed"]

    run_virtually(main())


def test_an_answer_is_told_at_once_and_only_the_slot_waits_for_admission() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), admission_type=AwayAdmission) as world:
            state = await world.submit(deadline_seconds=600)
            await world.clock.sleep(1)
            _admission(world).away = True
            await world.clock.sleep(5)
            assert await world.types(state) == ["submitted", "enqueued", "scheduled", "started", "completed"]
            await world.clock.sleep(25)
            _admission(world).away = False
            await world.clock.sleep(5)
            assert len(world.payer.calls) == 1 and await world.all_of(EventType.ANSWERED) == []
            assert (await world.dispatcher.status()).held == 0

    run_virtually(main())


def test_a_call_that_brought_nothing_is_made_again_when_admission_is_back() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), admission_type=AwayAdmission) as world:
            world.payer.script = [unreachable()]
            state = await world.submit(deadline_seconds=600)
            await world.clock.sleep(1)
            _admission(world).away = True
            await world.clock.sleep(30)
            assert (await world.types(state))[-1] == "started"
            _admission(world).away = False
            await world.clock.sleep(30)
            assert (await world.types(state))[-1] == "completed" and len(world.payer.calls) == 2

    run_virtually(main())


def test_no_more_is_accepted_than_can_wait_for_admission() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), admission_type=AwayAdmission) as world:
            _admission(world).away = True
            for number in range(1_000):
                await world.dispatcher.room(TENANT, Priority.INTERACTIVE)
                await world.submit(member=f"m-{number}", deadline_seconds=600)
            with pytest.raises(QueueFull):
                await world.dispatcher.room(TENANT, Priority.INTERACTIVE)

    run_virtually(main())


def test_a_request_is_cancelled_all_the_same_and_its_call_is_never_made() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), admission_type=AwayAdmission, slots=1) as world:
            await world.submit(name="First")
            await world.clock.sleep(1)
            waiting = await world.submit(name="Second")
            _admission(world).away = True
            assert (await world.dispatcher.cancel(waiting)).status is RequestStatus.CANCELLED
            with pytest.raises(AlreadyFinished):
                await world.dispatcher.cancel(waiting)
            _admission(world).away = False
            await world.clock.sleep(30)
            assert len(world.payer.calls) == 1
            assert (await world.dispatcher.status()).held == 0

    run_virtually(main())


def test_a_call_that_could_outlive_its_lease_is_not_sent() -> None:
    async def main() -> None:
        log, clock = SlowLog("epoch"), VirtualClock()
        log.clock = clock
        async with living(log, clock) as world:
            log.freezes_seconds = LEASE_SECONDS - LONGEST_CALL_SECONDS + 1
            state = await world.submit(deadline_seconds=600)
            await world.clock.sleep(log.freezes_seconds + 0.1)
            assert world.payer.calls == []
            log.freezes_seconds = 0.0
            await world.clock.sleep(60)
            assert (await world.types(state))[-1] == "completed"
            assert len(world.payer.calls) == 1
            assert (await world.dispatcher.status()).held == 0


def test_a_log_that_is_slow_for_long_fails_no_request() -> None:
    """No call was made: as a failed one it would use up the attempts."""

    async def main() -> None:
        log, clock = SlowLog("epoch"), VirtualClock()
        log.clock = clock
        async with living(log, clock) as world:
            log.freezes_seconds = LEASE_SECONDS - LONGEST_CALL_SECONDS + 1
            state = await world.submit(deadline_seconds=600)
            await world.clock.sleep(12 * log.freezes_seconds)
            assert world.payer.calls == []
            log.freezes_seconds = 0.0
            await world.clock.sleep(60)
            assert (await world.types(state))[-1] == "completed"

    run_virtually(main())

    run_virtually(main())
