"""What workers keep up together, in virtual time: whoever dies, and whatever is forgotten, a request goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bus.errors import LogUnavailable
from bus.events import Downtime, Enqueued, Event, Recorded
from bus.fold import RequestState, RequestStatus
from bus.ids import EventId, PayerId
from bus.memory_log import MemoryLog
from scheduler.admission import RENEWAL_SECONDS, BreakerState, Renewal
from tests.scheduler.keeping import LOST, kept, under_way
from tests.scheduler.world import LEASE_SECONDS, PAYER, World
from tests.virtual_time import run_virtually


class FailingLog(MemoryLog):
    """A log whose writes fail while it is away."""

    away = False

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        if self.away:
            raise LogUnavailable("Kafka is away.")
        return await super().append(events, ids_are_new=ids_are_new)


def abandoned(*states: RequestState) -> Renewal:
    return Renewal(state_lost=False, abandoned=tuple(state.request_id for state in states))


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


def test_a_start_goes_on_within_moments_of_the_views_being_whole_and_looks_ever_more_seldom_until_then() -> None:
    async def main() -> None:
        async with kept() as keeping:
            clock = keeping.world.clock
            keeping.whole = False
            upkeep = keeping.another()
            running = asyncio.create_task(upkeep.run())
            try:
                await clock.sleep(0.03)
                keeping.whole = True
                await clock.sleep(0.05)
                assert upkeep.restored.is_set()
                keeping.whole = False
                keeping.admission.renewals.append(LOST)
                await clock.sleep(RENEWAL_SECONDS)
                looks = keeping.looks
                await clock.sleep(60)
                assert 100 <= keeping.looks - looks <= 130
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

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


def test_a_slot_is_held_for_no_longer_than_a_lease_whatever_a_wall_clock_made_of_it() -> None:
    async def main() -> None:
        async with kept() as keeping:
            world = keeping.world
            await keeping.left(*under_way(world, lease_seconds=3600 + LEASE_SECONDS), deadline_seconds=8000)
            keeping.admission.renewals.append(LOST)
            await world.clock.sleep(RENEWAL_SECONDS + 1)
            assert (await world.dispatcher.status()).held == 1
            await world.clock.sleep(LEASE_SECONDS)
            assert (await world.dispatcher.status()).held == 0

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
