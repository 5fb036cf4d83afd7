"""What the next life of the program takes up of what an earlier one left."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bus.events import Downtime, EventType
from bus.memory_log import MemoryLog
from tests.scheduler.world import (
    LEASE_SECONDS,
    PAYER,
    living,
    unreachable,
)
from tests.virtual_time import VirtualClock, run_virtually


@pytest.mark.parametrize("seconds_lived", [0.0, 0.5, 2.9, 3.1])
def test_after_a_crash_every_request_still_ends_exactly_once(seconds_lived: float) -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, seed=1) as world:
            states = [await world.submit(name=name, deadline_seconds=600) for name in ("A", "B", "C")]
            await clock.sleep(seconds_lived)
        async with living(log, clock, seed=2) as world:
            await clock.sleep(300)
            for state in states:
                types = await world.types(state)
                assert types[-1] == "completed"
                assert sum(name in ("completed", "failed", "timeout", "cancelled") for name in types) == 1

    run_virtually(main())


def test_a_start_counts_the_calls_of_the_life_before_until_their_leases_end() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, slots=2, seed=1) as world:
            world.payer.seconds = 100
            await world.submit(name="A", deadline_seconds=600)
            await world.submit(name="B", deadline_seconds=600)
            await clock.sleep(1)
        async with living(log, clock, slots=2, seed=2) as world:
            await clock.sleep(LEASE_SECONDS - 5)
            assert world.payer.calls == []
            await clock.sleep(10)
            assert len(world.payer.calls) == 2

    run_virtually(main())


def test_a_clock_that_jumped_back_holds_slots_no_longer_than_a_lease() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, slots=1, seed=1) as world:
            world.payer.seconds = 100
            await world.submit(deadline_seconds=600)
            await clock.sleep(1)
        clock.jump_wall(-timedelta(hours=5))
        async with living(log, clock, slots=1, seed=2) as world:
            await clock.sleep(LEASE_SECONDS + 1)
            assert len(world.payer.calls) == 1

    run_virtually(main())


def test_a_payer_that_was_down_is_still_down_after_a_restart() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, seed=1) as world:
            world.payer.seconds = 0.1
            world.payer.script = [unreachable() for _ in range(5)]
            for number in range(5):
                await world.submit(name=f"Name{chr(65 + number)}", deadline_seconds=600)
            await clock.sleep(2)
        async with living(log, clock, seed=2) as world:
            world.payer.seconds = 0.1
            await clock.sleep(20)
            assert world.payer.calls == []
            await clock.sleep(200)
            assert len(world.payer.calls) == 5
            assert [event.data.available for event in await world.all_of(EventType.DOWNTIME)] == [False, True]  # type: ignore[union-attr]

    run_virtually(main())


def test_a_request_whose_deadline_passed_while_the_program_was_down_times_out_at_the_start() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, seed=1) as world:
            world.payer.seconds = 100
            state = await world.submit(deadline_seconds=30)
            await clock.sleep(1)
        await clock.sleep(60)
        async with living(log, clock, seed=2) as world:
            await clock.sleep(0.05)
            assert (await world.types(state))[-1] == "timeout"
            assert world.payer.calls == []

    run_virtually(main())


def test_a_request_that_was_only_submitted_is_queued_by_the_next_life() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, seed=1) as world:
            state = await world.record_submitted()
        async with living(log, clock, seed=2) as world:
            await clock.sleep(10)
            assert await world.types(state) == ["submitted", "enqueued", "scheduled", "started", "completed"]

    run_virtually(main())


def test_a_payer_that_came_back_before_the_restart_is_asked_at_once() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, seed=1) as world:
            await world.journal.note(PAYER, Downtime(payer_id=PAYER, available=False, since=clock.now()))
            await world.journal.note(PAYER, Downtime(payer_id=PAYER, available=True, since=clock.now()))
        async with living(log, clock, seed=2) as world:
            await world.submit()
            await clock.sleep(1)
            assert len(world.payer.calls) == 1

    run_virtually(main())
