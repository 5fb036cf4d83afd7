"""What a worker does for requests that others accepted, and for those it cannot bring to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from bus.errors import EventTooLarge, StateUnavailable
from bus.events import Answered, Completed, Enqueued, Event, EventType, Failed, Recorded, Scheduled, Started
from bus.fold import RequestState, RequestStatus
from bus.ids import CallId, RequestId
from bus.memory_log import MemoryLog
from scheduler.admission import Ask, CallEnd, Grant, Settled
from scheduler.memory_admission import MemoryAdmission
from tests.scheduler.world import PAYER, World, living
from tests.virtual_time import VirtualClock, run_virtually

WHOLE = ["submitted", "enqueued", "scheduled", "started", "completed"]


async def offer_as_another(world: World, state: RequestState) -> None:
    """As the instance that accepted it does, before its next event is in the log."""
    now = world.clock.monotonic()
    await world.admission.offer(
        Ask(
            request_id=state.request_id,
            tenant_id=state.tenant_id,
            payer_id=state.payer_id,
            question_key=state.question.key(state.tenant_id),
            priority=state.priority,
            deadline=now + 100,
        ),
        now,
    )
    world.dispatcher.changed.set()


def test_one_that_is_granted_before_it_is_told_to_wait_is_called_at_once() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            state = await world.record_submitted()
            await offer_as_another(world, state)
            await asyncio.sleep(0.01)
            assert await world.types(state) == WHOLE[:4]
            await world.clock.sleep(10)
            assert await world.types(state) == WHOLE
            assert len(world.payer.calls) == 1

    run_virtually(main())


class SmallLog(MemoryLog):
    """Takes no coverage."""

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        if any(isinstance(event.data, Completed | Answered) and event.data.coverage is not None for event in events):
            raise EventTooLarge("An event is larger than the log takes.")
        return await super().append(events, ids_are_new=ids_are_new)


@pytest.mark.parametrize("cancelled", [False, True])
def test_an_answer_that_is_too_large_to_keep_is_a_failure_and_is_not_asked_for_again(cancelled: bool) -> None:
    async def main() -> None:
        async with living(SmallLog("epoch"), VirtualClock()) as world:
            state = await world.submit()
            await asyncio.sleep(0.01)
            if cancelled:
                await world.dispatcher.cancel(state)
            await world.clock.sleep(10)
            last = (await world.events(state))[-1].data
            if cancelled:
                [answered] = [event.data for event in await world.all_of(EventType.ANSWERED)]
                assert isinstance(answered, Answered) and answered.coverage is None
            else:
                assert isinstance(last, Failed) and last.failure.code == "ANSWER_TOO_LARGE"
            assert len(world.payer.calls) == 1
            assert (await world.admission.status(world.clock.monotonic())).held == 0

    run_virtually(main())


def test_one_that_the_views_do_not_know_yet_is_waited_for() -> None:
    class Late(MemoryLog):
        late = True

        async def states(self, request_ids: Sequence[RequestId]) -> Sequence[RequestState]:
            return [] if self.late else await super().states(request_ids)

    async def main(late_seconds: float) -> None:
        log = Late("epoch")
        async with living(log, VirtualClock()) as world:
            state = await world.record_submitted()
            await offer_as_another(world, state)
            await world.clock.sleep(late_seconds)
            log.late = False
            await world.clock.sleep(10)
            assert await world.types(state) == WHOLE
            assert len(world.payer.calls) == 1

    run_virtually(main(0.3))
    run_virtually(main(5.0))  # then the log itself is read


def test_one_that_is_told_of_a_call_which_was_never_made_gets_another_attempt() -> None:
    """The log took what said that the call is made, and its answer was lost: so the call was given back."""

    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            state = await world.record_submitted()
            lease = state.deadline
            await world.write_as_another(state, Enqueued(payer_id=PAYER))
            for step in (Scheduled, Started):
                await world.write_as_another(
                    state, step(payer_id=PAYER, call_id=CallId("never made"), lease_expires_at=lease)
                )
            await offer_as_another(world, state)
            await world.clock.sleep(10)
            assert await world.types(state) == [*WHOLE[:4], *WHOLE[1:]]
            assert (await world.events(state))[-1].attempt == 2

    run_virtually(main())


def test_calls_that_do_not_end_in_time_are_handed_over_with_their_slots_held() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.seconds = 60
            state = await world.submit(deadline_seconds=500)
            await world.clock.sleep(1)

            assert await world.worker.drain(5) == 1
            assert await world.worker.hand_over() == 0

            assert await world.status(state) is RequestStatus.ENQUEUED
            last = (await world.events(state))[-1]
            assert (last.attempt, last.type) == (2, "rte.enqueued")
            status = await world.dispatcher.status()
            assert (status.held, sum(each.waiting for each in status.classes)) == (1, 1)
            await world.clock.sleep(100)  # it makes no more calls itself
            assert await world.status(state) is RequestStatus.ENQUEUED

    run_virtually(main())


class Away(MemoryAdmission):
    """Ends no call while it is away."""

    away = False

    async def settle(self, call_id: CallId, end: CallEnd, now: float) -> Settled:
        if self.away:
            raise StateUnavailable("Redis is away.")
        return await super().settle(call_id, end, now)


def test_what_cannot_be_handed_over_in_time_is_told() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), admission_type=Away) as world:
            assert isinstance(world.admission, Away)
            world.payer.seconds = 60
            for name in ("Doe", "Roe"):
                await world.submit(name=name, deadline_seconds=500)
            await world.clock.sleep(1)
            world.admission.away = True
            assert await world.worker.drain(5) == 2
            assert await world.worker.hand_over() == 2

    run_virtually(main())


class SlowToStart(MemoryLog):
    """Takes its time for what says that a call is made."""

    clock: VirtualClock

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        if events and events[-1].type is EventType.STARTED:
            await self.clock.sleep(3)
        return await super().append(events, ids_are_new=ids_are_new)


@pytest.mark.parametrize("drain_seconds", [0, 10])
def test_a_call_that_is_not_sent_when_draining_begins_is_given_back_and_its_slot_freed(drain_seconds: int) -> None:
    async def main() -> None:
        log, clock = SlowToStart("epoch"), VirtualClock()
        log.clock = clock
        async with living(log, clock) as world:
            state = await world.submit(deadline_seconds=500)
            await clock.sleep(1)  # granted
            await world.worker.drain(drain_seconds)
            assert await world.worker.hand_over() == 0
            assert world.payer.calls == []
            assert await world.status(state) is RequestStatus.ENQUEUED
            status = await world.dispatcher.status()
            assert (status.held, sum(each.waiting for each in status.classes)) == (0, 1)

    run_virtually(main())


@pytest.mark.parametrize("turns", range(8))
def test_a_worker_that_is_ended_just_as_something_changes_ends(turns: int) -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            await world.submit()
            await world.clock.sleep(1)
            world.dispatcher.changed.set()
            for _ in range(turns):
                await asyncio.sleep(0)

    run_virtually(main())


def test_a_worker_without_calls_has_nothing_to_hand_over() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            assert await world.worker.drain(5) == 0
            assert await world.worker.hand_over() == 0

    run_virtually(main())


def test_a_lease_is_counted_from_its_own_grant_however_many_came_before() -> None:
    """Under load one grant follows another for long: the last must not look as if it had been made with the first."""

    class Slow(MemoryAdmission):
        clock: VirtualClock

        async def grant(self, now: float) -> Grant | None:
            await self.clock.sleep(2.0)
            return await super().grant(now)

    async def main() -> None:
        clock = VirtualClock()
        async with living(MemoryLog("epoch"), clock, admission_type=Slow) as world:
            assert isinstance(world.admission, Slow)
            world.admission.clock = clock
            states = [await world.submit(name=f"Number {number}") for number in range(4)]
            await clock.sleep(60)
            for state in states:
                assert await world.types(state) == WHOLE

    run_virtually(main())
