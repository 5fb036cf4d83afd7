"""What a call's end makes of its request, its slot, and its payer."""

from __future__ import annotations

import pytest

from bus.events import EventType, TimedOut
from bus.failure import FailureKind
from bus.fold import RequestStatus
from bus.memory_log import MemoryLog
from payer.outcome import Outcome
from tests.scheduler.test_dispatcher import FailingLog
from tests.scheduler.world import (
    LEASE_SECONDS,
    broken,
    living,
    lost,
    rejection,
    throttled,
    timed_out,
    unreachable,
)
from tests.virtual_time import VirtualClock, run_virtually


def test_an_unreachable_payer_is_tried_again_with_the_next_attempt() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [unreachable(), unreachable()]
            state = await world.submit()
            await world.clock.sleep(110)
            types = await world.types(state)
            assert types.count("enqueued") == 3
            assert types[-1] == "completed"
            assert [event.attempt for event in await world.events(state)][-1] == 3

    run_virtually(main())


def test_retries_end_and_the_failure_says_that_the_payer_is_unavailable() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.seconds = 0.1
            world.payer.script = [unreachable() for _ in range(10)]
            state = await world.submit(deadline_seconds=600)
            await world.clock.sleep(590)
            found = await world.log.get(state.tenant_id, state.request_id)
            assert found is not None
            assert found.status is RequestStatus.FAILED
            assert found.failure is not None
            assert found.failure.kind is FailureKind.PAYER_UNAVAILABLE

    run_virtually(main())


def test_a_rejection_is_final_and_names_the_field() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [rejection()]
            state = await world.submit()
            await world.clock.sleep(10)
            assert (await world.types(state))[-1] == "failed"
            assert len(world.payer.calls) == 1

    run_virtually(main())


def test_a_deadline_that_passes_after_failed_attempts_says_that_and_why_they_failed() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [broken(), unreachable()]
            world.payer.seconds = 10
            tried = await world.submit(deadline_seconds=28)
            await world.clock.sleep(60)
            said = {}
            for event in await world.all_of(EventType.TIMEOUT):
                assert isinstance(event.data, TimedOut)
                said[event.subject] = event.data.failure
            assert said[tried.request_id].code == "DEADLINE"
            assert "2 earlier attempts failed, the last with 42: No answer." in said[tried.request_id].message

    run_virtually(main())


def test_a_deadline_that_passes_in_the_first_attempt_speaks_of_no_others() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.seconds = 60
            await world.submit(deadline_seconds=10)
            await world.clock.sleep(20)
            [event] = await world.all_of(EventType.TIMEOUT)
            assert isinstance(event.data, TimedOut)
            assert "earlier" not in event.data.failure.message

    run_virtually(main())


def test_a_call_that_is_not_proven_over_keeps_its_slot_until_its_lease_ends() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), slots=1) as world:
            world.payer.seconds = 10
            world.payer.script = [timed_out()]
            await world.submit(deadline_seconds=10.5)
            await world.clock.sleep(20)
            assert (await world.dispatcher.status()).held == 1
            later = await world.submit(name="Later", deadline_seconds=600)
            await world.clock.sleep(LEASE_SECONDS - 25)
            assert await world.status(later) is RequestStatus.ENQUEUED
            await world.clock.sleep(30)
            assert await world.status(later) is RequestStatus.COMPLETED

    run_virtually(main())


def test_a_payer_going_down_and_coming_back_is_told() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.seconds = 0.1
            world.payer.script = [unreachable() for _ in range(5)]
            for number in range(5):
                await world.submit(name=f"Name{chr(65 + number)}", deadline_seconds=600)
            await world.clock.sleep(300)
            downtimes = [event.data.available for event in await world.all_of(EventType.DOWNTIME)]  # type: ignore[union-attr]
            assert downtimes == [False, True]

    run_virtually(main())


def test_a_fault_of_ours_in_a_call_ends_the_request_all_the_same() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [RuntimeError("bug") for _ in range(10)]
            state = await world.submit(deadline_seconds=600)
            await world.clock.sleep(700)
            assert (await world.status(state)).terminal

    run_virtually(main())


@pytest.mark.parametrize("outcome", [throttled(), broken()])
def test_what_is_not_the_payers_fault_is_tried_again_and_frees_the_slot(outcome: Outcome) -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [outcome]
            state = await world.submit()
            await world.clock.sleep(60)
            assert (await world.types(state)).count("enqueued") == 2
            assert await world.status(state) is RequestStatus.COMPLETED
            assert (await world.dispatcher.status()).held == 0

    run_virtually(main())


def test_a_lost_connection_keeps_its_slot_and_says_nothing_of_the_payer() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [lost() for _ in range(5)]
            for number in range(5):
                await world.submit(name=f"Name{chr(65 + number)}", deadline_seconds=600)
            await world.clock.sleep(4)
            assert (await world.dispatcher.status()).held >= 5
            assert await world.all_of(EventType.DOWNTIME) == []

    run_virtually(main())


def test_a_retry_joins_a_call_of_the_same_question_that_began_meanwhile() -> None:
    async def main() -> None:
        log = FailingLog("epoch")
        async with living(log, VirtualClock()) as world:
            world.payer.script = [unreachable()]
            first = await world.submit(deadline_seconds=600)
            await world.clock.sleep(1)
            log.away = True
            await world.clock.sleep(10)
            log.away = False
            world.payer.seconds = 60
            await world.submit(deadline_seconds=600)
            await world.clock.sleep(20)
            assert (await world.types(first))[-3:] == ["enqueued", "scheduled", "started"]
            await world.clock.sleep(60)
            assert await world.status(first) is RequestStatus.COMPLETED
            assert len(world.payer.calls) == 2

    run_virtually(main())
