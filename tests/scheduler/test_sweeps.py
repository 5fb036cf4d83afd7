"""What stands still is moved on, in virtual time: by whoever has the turn, and by no clock that is ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from bus.events import Enqueued
from bus.fold import RequestState, RequestStatus
from bus.memory_log import MemoryLog
from scheduler.upkeep import SWEEP_SECONDS, TURN_SECONDS
from tests.scheduler.keeping import Kept, ToldAdmission, kept, under_way
from tests.scheduler.world import LEASE_SECONDS, PAYER, living
from tests.virtual_time import VirtualClock, run_virtually


def test_one_that_was_accepted_and_never_queued_is_queued_by_the_sweep() -> None:
    async def main() -> None:
        async with kept() as keeping:
            state = await keeping.left()
            await keeping.world.clock.sleep(10)
            assert await keeping.world.types(state) == ["submitted"]  # whoever accepted it may be on it
            await keeping.world.clock.sleep(2 * SWEEP_SECONDS)
            assert await keeping.world.status(state) is RequestStatus.COMPLETED

    run_virtually(main())


def test_one_that_waits_and_is_in_no_queue_is_queued_by_the_sweep() -> None:
    async def main() -> None:
        async with kept() as keeping:
            state = await keeping.left(Enqueued(payer_id=PAYER))
            await keeping.world.clock.sleep(2 * SWEEP_SECONDS)
            assert await keeping.world.status(state) is RequestStatus.COMPLETED

    run_virtually(main())


def test_a_call_that_outlived_its_lease_by_far_is_made_again_by_the_sweep() -> None:
    async def main() -> None:
        async with kept() as keeping:
            state = await keeping.left(*under_way(keeping.world))
            await keeping.world.clock.sleep(LEASE_SECONDS)
            assert await keeping.world.status(state) is RequestStatus.STARTED
            await keeping.world.clock.sleep(2 * SWEEP_SECONDS)
            assert await keeping.world.status(state) is RequestStatus.COMPLETED
            assert (await keeping.world.events(state))[-1].attempt == 2

    run_virtually(main())


def test_one_whose_deadline_passed_unnoticed_is_ended_by_the_sweep() -> None:
    async def main() -> None:
        async with kept() as keeping:
            world = keeping.world
            keeping.whole = False
            state = await keeping.left(Enqueued(payer_id=PAYER), deadline_seconds=5)
            await world.clock.sleep(3 * SWEEP_SECONDS)
            assert await world.status(state) is RequestStatus.TIMEOUT

    run_virtually(main())


class HourAhead(VirtualClock):
    def now(self) -> datetime:
        return super().now() + timedelta(hours=1)


def test_a_clock_that_is_an_hour_ahead_takes_no_call_for_one_that_is_over() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), admission_type=ToldAdmission) as world:
            assert isinstance(world.admission, ToldAdmission)
            keeping = Kept(world, world.admission)
            await keeping.left(*under_way(world))
            running = asyncio.create_task(keeping.another(HourAhead()).run())
            await world.clock.sleep(1)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert (await world.dispatcher.status()).held == 1

    run_virtually(main())


@pytest.mark.parametrize("whose", ["its own", "of what is shared"])
def test_a_clock_that_is_an_hour_ahead_ends_nobodys_request(whose: str) -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), admission_type=ToldAdmission) as world:
            assert isinstance(world.admission, ToldAdmission)
            keeping = Kept(world, world.admission)
            own = whose == "its own"
            keeping.shared_ahead = timedelta(hours=0 if own else 1)
            world.payer.seconds = 1_000
            state = await world.submit(deadline_seconds=500)
            running = asyncio.create_task(keeping.another(HourAhead() if own else None).run())
            try:
                await world.clock.sleep(2 * SWEEP_SECONDS)
                assert await world.types(state) == ["submitted", "enqueued", "scheduled", "started"]
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    run_virtually(main())


def test_a_request_that_moved_on_behind_the_sweeps_back_keeps_its_call() -> None:
    """Views are late: what stands still in them may be called by now, and is not called again."""

    class Late(MemoryLog):
        shown: RequestState | None = None

        async def open_requests(self) -> AsyncIterator[RequestState]:
            if self.shown is not None:
                yield self.shown

    async def main() -> None:
        log = Late("epoch")
        async with kept(log) as keeping:
            state = log.shown = await keeping.left()
            await keeping.world.clock.sleep(16)
            for data in under_way(keeping.world):
                await keeping.world.write_as_another(state, data)
            await keeping.world.clock.sleep(2 * SWEEP_SECONDS)
            assert await keeping.world.types(state) == ["submitted", "enqueued", "scheduled", "started"]
            assert keeping.world.payer.calls == []

    run_virtually(main())


class LookedThrough(MemoryLog):
    """Notes when all its open requests are asked for."""

    clock: VirtualClock
    looks: list[float]

    async def open_requests(self) -> AsyncIterator[RequestState]:
        self.looks.append(self.clock.monotonic())
        async for state in super().open_requests():
            yield state


def test_many_look_through_the_open_requests_as_often_as_one_also_when_the_one_that_did_dies() -> None:
    async def main() -> None:
        log = LookedThrough("epoch")
        log.clock, log.looks = VirtualClock(), []
        async with living(log, log.clock, admission_type=ToldAdmission) as world:
            assert isinstance(world.admission, ToldAdmission)
            keeping = Kept(world, world.admission)
            running = []
            for _ in range(6):
                running.append(asyncio.create_task(keeping.another().run()))
                await log.clock.sleep(2)
            try:
                log.looks.clear()  # of what each restored as it began
                for one in running[:5]:  # one after the other is the one that made the last sweep
                    await log.clock.sleep(5 * SWEEP_SECONDS)
                    one.cancel()
                await log.clock.sleep(5 * SWEEP_SECONDS)
                gaps = [later - earlier for earlier, later in pairwise(log.looks)]
                assert len(gaps) > 25
                assert min(gaps) >= TURN_SECONDS and max(gaps) <= SWEEP_SECONDS
            finally:
                for one in running:
                    one.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    run_virtually(main())
