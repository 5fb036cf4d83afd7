"""Upkeep in a small world in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from bus.clock import Clock
from bus.errors import StateUnavailable
from bus.events import Enqueued, EventData, Scheduled, Started
from bus.fold import RequestState
from bus.ids import CallId
from bus.memory_log import MemoryLog
from scheduler.admission import Renewal
from scheduler.memory_admission import MemoryAdmission
from scheduler.upkeep import TURN_SECONDS, Upkeep
from tests.scheduler.world import LEASE_SECONDS, PAYER, World, living
from tests.virtual_time import VirtualClock

DEAD = CallId("call of a dead worker")
LOST = Renewal(state_lost=True, abandoned=())


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


class Turns:
    """As the lease in Redis: whoever takes it has it for a while, and for as long again whenever they ask."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._owner: OneOfTurns | None = None
        self._ends = 0.0

    def mine(self) -> OneOfTurns:
        return OneOfTurns(self)

    def acquire(self, asker: OneOfTurns) -> bool:
        now = self._clock.monotonic()
        if self._owner is not asker and now < self._ends:
            return False
        self._owner, self._ends = asker, now + TURN_SECONDS
        return True


class OneOfTurns:
    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def acquire(self) -> bool:
        return self._turns.acquire(self)


class Kept:
    """A world, and the upkeep that runs in it."""

    def __init__(self, world: World, admission: ToldAdmission) -> None:
        self.world = world
        self.admission = admission
        self.whole = True
        self.looks = 0
        self.shared_ahead = timedelta()
        self._turns = Turns(world.clock)
        self.upkeep = self.another()

    def another(self, clock: Clock | None = None) -> Upkeep:
        """One more that looks after the same requests, by a clock of its own if one is given."""
        world = self.world
        return Upkeep(
            log=world.log,
            requests=world.log,
            journal=world.journal,
            admission=self.admission,
            dispatcher=world.dispatcher,
            views_whole=self._whole,
            turn=self._turns.mine(),
            lease_seconds=LEASE_SECONDS,
            shared_now=self._shared_now,
            clock=clock or world.clock,
        )

    async def _shared_now(self) -> datetime:
        return self.world.clock.now() + self.shared_ahead

    async def _whole(self) -> bool:
        self.looks += 1
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
