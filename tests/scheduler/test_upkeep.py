"""What workers keep up together, in virtual time: whoever dies, and whatever is forgotten, a request goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from bus.errors import LogUnavailable, StateUnavailable
from bus.events import Downtime, Enqueued, Event, EventData, Recorded, Scheduled, Started
from bus.fold import RequestState, RequestStatus
from bus.ids import CallId, EventId, PayerId
from bus.memory_log import MemoryLog
from scheduler.admission import RENEWAL_SECONDS, BreakerState, Renewal
from scheduler.memory_admission import MemoryAdmission
from scheduler.upkeep import SWEEP_SECONDS, Upkeep
from tests.scheduler.world import LEASE_SECONDS, PAYER, World, living
from tests.virtual_time import VirtualClock, run_virtually

DEAD = CallId("call of a dead worker")


class FailingLog(MemoryLog):
    """A log whose writes fail while it is away."""

    away = False

    async def append(self, events: Sequence[Event]) -> Sequence[Recorded | None]:
        if self.away:
            raise LogUnavailable("Kafka is away.")
        return await super().append(events)


class ToldAdmission(MemoryAdmission):
    """As shared admission is: others' calls are told to whoever renews, and what it knows may be lost."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.renewals: list[Renewal] = []
        self.away = False
        self.vouched = 0

    async def renew(self, now: float) -> Renewal:
        self._refuse()
        return self.renewals.pop(0) if self.renewals else await super().renew(now)

    async def hold(self, *arguments: Any) -> None:
        self._refuse()
        await super().hold(*arguments)

    async def vouch(self, now: float) -> None:
        self._refuse()
        self.vouched += 1
        await super().vouch(now)

    def _refuse(self) -> None:
        if self.away:
            raise StateUnavailable("Redis is away.")


class Kept:
    """A world, and the upkeep that runs in it."""

    def __init__(self, world: World, admission: ToldAdmission) -> None:
        self.world = world
        self.admission = admission
        self.whole = True
        self.upkeep = Upkeep(
            log=world.log,
            requests=world.log,
            journal=world.journal,
            admission=admission,
            dispatcher=world.dispatcher,
            views_whole=self._whole,
            clock=world.clock,
        )

    async def _whole(self) -> bool:
        return self.whole

    async def open_requests(self) -> int:
        return len([state async for state in self.world.log.open_requests()])

    async def left(self, *steps: EventData, **options: Any) -> RequestState:
        """A request of another process, which died after these steps."""
        state = await self.world.record_submitted(**{"deadline_seconds": 500, **options})
        for data in steps:
            await self.world.write_as_another(state, data)
        return state


@asynccontextmanager
async def kept(log: MemoryLog | None = None) -> AsyncIterator[Kept]:
    """The first restoring and the first sweep are over."""
    async with living(log or MemoryLog("epoch"), VirtualClock(), admission_type=ToldAdmission) as world:
        assert isinstance(world.admission, ToldAdmission)
        keeping = Kept(world, world.admission)
        running = asyncio.create_task(keeping.upkeep.run())
        await world.clock.sleep(1)
        try:
            yield keeping
            if running.done():
                running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def under_way(world: World, lease_seconds: float = LEASE_SECONDS) -> tuple[EventData, ...]:
    lease = world.clock.now() + timedelta(seconds=lease_seconds)
    return (
        Enqueued(payer_id=PAYER),
        Scheduled(payer_id=PAYER, call_id=DEAD, lease_expires_at=lease),
        Started(payer_id=PAYER, call_id=DEAD, lease_expires_at=lease),
    )


def abandoned(*states: RequestState) -> Renewal:
    return Renewal(state_lost=False, abandoned=tuple(state.request_id for state in states))


LOST = Renewal(state_lost=True, abandoned=())


def test_requests_whose_worker_fell_silent_get_another_attempt() -> None:
    async def main() -> None:
        async with kept() as keeping:
            world = keeping.world
            state = await keeping.left(*under_way(world))
            keeping.admission.renewals.append(abandoned(state))
            await world.clock.sleep(RENEWAL_SECONDS + 5)
            events = await world.events(state)
            assert [event.type.removeprefix("rte.") for event in events][-4:] == [
                "enqueued", "scheduled", "started", "completed",
            ]  # fmt: skip
            assert events[-1].attempt == 2

    run_virtually(main())


def test_what_was_told_once_is_not_forgotten_while_the_log_is_away() -> None:
    async def main() -> None:
        log = FailingLog("epoch")
        async with kept(log) as keeping:
            world = keeping.world
            state = await keeping.left(*under_way(world))
            keeping.admission.renewals.append(abandoned(state))
            log.away = True
            await world.clock.sleep(60)
            assert await world.status(state) is RequestStatus.STARTED
            log.away = False
            await world.clock.sleep(20)
            assert await world.status(state) is RequestStatus.COMPLETED

    run_virtually(main())


def test_an_abandoned_request_that_ended_meanwhile_is_left_alone() -> None:
    async def main() -> None:
        async with kept() as keeping:
            state = await keeping.world.submit()
            await keeping.world.clock.sleep(5)
            before = await keeping.world.types(state)
            assert before[-1] == "completed"
            keeping.admission.renewals.append(abandoned(state))
            await keeping.world.clock.sleep(30)
            assert await keeping.world.types(state) == before

    run_virtually(main())


def test_after_a_loss_calls_that_may_be_counted_hold_their_slots_and_what_waits_is_queued() -> None:
    async def main() -> None:
        async with kept() as keeping:
            world = keeping.world
            started = await keeping.left(*under_way(world))
            waits = await keeping.left(Enqueued(payer_id=PAYER), name="Waits")
            await world.log.append([downtime(world)])
            keeping.admission.renewals.append(LOST)
            world.payer.seconds = 1_000  # what is called now goes on
            await world.clock.sleep(RENEWAL_SECONDS + 1)
            status = await world.dispatcher.status()
            assert {payer.payer_id: payer.breaker for payer in status.payers}[PayerId("DOWN")] is BreakerState.OPEN
            assert status.held == 2  # the dead worker's call, and the one that was granted to who waits
            assert await world.status(waits) is RequestStatus.STARTED
            assert (await world.types(started))[-1] == "started"

    run_virtually(main())


def test_restoring_waits_until_the_views_are_whole_and_until_admission_answers() -> None:
    async def main() -> None:
        async with kept() as keeping:
            world = keeping.world
            await keeping.left(*under_way(world))
            keeping.admission.renewals.append(LOST)
            keeping.whole = False
            await world.clock.sleep(RENEWAL_SECONDS + 1)
            assert (await world.dispatcher.status()).held == 0
            keeping.whole = True
            keeping.admission.away = True
            await world.clock.sleep(5)
            assert (await world.dispatcher.status()).held == 0
            keeping.admission.away = False
            await world.clock.sleep(2)
            assert (await world.dispatcher.status()).held == 1

    run_virtually(main())


@pytest.mark.parametrize("open_requests", [0, 1])
def test_only_a_log_without_open_requests_vouches_that_no_call_is_under_way(open_requests: int) -> None:
    async def main() -> None:
        async with kept() as keeping:
            before = keeping.admission.vouched
            for _ in range(open_requests):
                await keeping.left(*under_way(keeping.world))
            keeping.admission.renewals.append(LOST)
            await keeping.world.clock.sleep(RENEWAL_SECONDS + 1)
            assert keeping.admission.vouched - before == 1 - open_requests

    run_virtually(main())


def test_a_request_that_ends_while_restoring_keeps_the_slot_of_its_call() -> None:
    """It was open when that was asked, and its call began before calls were: one of both tells of it."""

    class Ending(MemoryLog):
        world: World | None = None
        ending: RequestState | None = None

        async def calls_unaccounted(self, leased_after: Any) -> Sequence[Recorded]:
            found = await super().calls_unaccounted(leased_after)
            if self.world is not None and self.ending is not None:
                state, self.ending = self.ending, None
                for data in under_way(self.world):
                    await self.world.write_as_another(state, data)
                await self.world.dispatcher.cancel(await self._state(state))
            return found

        async def _state(self, state: RequestState) -> RequestState:
            return (await self.states([state.request_id]))[0]

    async def main() -> None:
        log = Ending("epoch")
        async with kept(log) as keeping:
            before = keeping.admission.vouched
            log.ending = await keeping.left()
            log.world = keeping.world
            keeping.admission.renewals.append(LOST)
            await keeping.world.clock.sleep(RENEWAL_SECONDS + 1)
            assert not await keeping.open_requests()
            assert keeping.admission.vouched == before

    run_virtually(main())


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


def test_trouble_is_told_and_tried_again() -> None:
    async def main() -> None:
        async with kept() as keeping:
            world = keeping.world
            keeping.admission.away = True
            await world.clock.sleep(3 * RENEWAL_SECONDS)
            keeping.admission.away = False
            state = await keeping.left(*under_way(world))
            keeping.admission.renewals.append(abandoned(state))
            await world.clock.sleep(RENEWAL_SECONDS + 5)
            assert await world.status(state) is RequestStatus.COMPLETED

    run_virtually(main())


def downtime(world: World) -> Event:
    return Event(
        id=EventId(world.ids()),
        source="test",
        subject="DOWN",
        time=world.clock.now(),
        data=Downtime(payer_id=PayerId("DOWN"), available=False, since=world.clock.now()),
    )
