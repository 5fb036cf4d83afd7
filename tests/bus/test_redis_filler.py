"""Who of several instances writes the views, and what becomes of events where nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs

from bus.clock import SystemClock
from bus.events import Recorded
from bus.redis.filler import ViewFiller
from bus.redis.views import RedisViews
from tests.bus.conftest import downtime
from tests.bus.redis_world import Counting, RedisWorld, recorded, redis_world
from tests.bus.test_redis_views import check, life

pytestmark = pytest.mark.services
SOON_SECONDS = 10.0
PATIENCE_SECONDS = 0.05


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[RedisWorld]:
    async with redis_world(redis_url) as world:
        yield world


def patient(views: RedisViews, *before: Counting, waiting_events: int = 1_000) -> ViewFiller:
    return ViewFiller(
        views, SystemClock(), before=before, patience_seconds=PATIENCE_SECONDS, waiting_events=waiting_events
    )


def stands_by(filler: ViewFiller) -> bool:
    """Asked anew each time."""
    return filler.standing_by


async def test_what_is_taken_comes_into_the_views_and_before_that_to_the_other_sinks(world: RedisWorld) -> None:
    events, cache = recorded([*life("r1"), downtime()]), Counting()
    async with patient(world.views(), cache) as filler:
        await filler.take(events)
        assert await filler.settled(SOON_SECONDS)
    assert cache.taken == events[:-1]
    await check(world, events[:-1])


async def test_one_that_finds_all_written_stands_by_and_takes_over_when_nobody_writes(world: RedisWorld) -> None:
    events, cache = recorded([*life("r1"), *life("r2"), *life("r3")]), Counting()
    other = world.views()
    async with patient(world.views(), cache) as filler:
        await other.take(events[:5])
        await filler.take(events[:5])
        assert await filler.settled(SOON_SECONDS)
        assert stands_by(filler)

        cache.taken.clear()
        await other.take(events[5:10])
        await filler.take(events[5:10])
        assert await filler.settled(SOON_SECONDS)
        assert stands_by(filler) and cache.taken == []

        await filler.take(events[10:])
        assert await filler.settled(SOON_SECONDS)
        assert not stands_by(filler) and cache.taken == events[10:]
    await check(world, events)


async def test_one_that_finds_some_written_stands_by_too(world: RedisWorld) -> None:
    """Two that write as fast as each other would else share every batch for ever, each at the whole price."""
    events = recorded([*life("r1"), *life("r2")])
    async with patient(world.views()) as filler:
        await filler.take(events[:2])
        assert await filler.settled(SOON_SECONDS)
        assert not stands_by(filler)
        await world.views().take(events[:4])
        await filler.take(events[2:])
        assert await filler.settled(SOON_SECONDS)
        assert stands_by(filler)
    await check(world, events)


async def test_one_without_patience_never_stands_by(world: RedisWorld) -> None:
    events = recorded(life("r1"))
    await world.views().take(events)
    async with ViewFiller(world.views(), SystemClock(), patience_seconds=0.0) as filler:
        await filler.take(events)
        assert await filler.settled(SOON_SECONDS)
        assert not stands_by(filler)


async def test_what_is_too_much_to_hold_is_left_to_the_rebuild(world: RedisWorld) -> None:
    views = world.views()
    async with patient(views, waiting_events=8) as filler:
        await filler.take(recorded(life("r1")))
        await filler.take(recorded(life("r2"), after=5))
        assert views.lacking == {0} and views.missed.is_set()


async def test_what_was_left_is_never_claimed_though_earlier_events_come_late(world: RedisWorld) -> None:
    """A hole that the views do not know of would be for ever."""
    events, views = recorded([event for number in range(6) for event in life(f"r{number}")]), world.views()
    views.leave(events[10:20])
    await world.views().take(events[:10])
    assert await views.take(events[:10])
    await views.look()
    await views.take(events[20:])
    assert views.lacking == {0}
    assert (await views.progress(0)).through == 10


async def test_a_defect_is_told_and_its_events_are_left_to_the_rebuild(world: RedisWorld) -> None:
    class Broken:
        async def take(self, batch: Sequence[Recorded]) -> None:
            raise ZeroDivisionError

    views, events = world.views(), recorded([*life("r1"), *life("r2")])
    with capture_logs() as lines:
        async with ViewFiller(views, SystemClock(), before=[Broken()], patience_seconds=0.0) as filler:
            await filler.take(events[:5])
            assert await filler.settled(SOON_SECONDS)
            assert views.lacking == {0}
            await filler.take(events[5:])
            assert await filler.settled(SOON_SECONDS)
    assert [(line["event"], line["error"]) for line in lines] == [("views_not_filled", "ZeroDivisionError")] * 2


async def test_two_instances_at_once_write_everything_once(world: RedisWorld) -> None:
    events = recorded([event for number in range(40) for event in life(f"r{number}", f"m{number % 3}")])
    async with patient(world.views()) as one, patient(world.views()) as two:
        for first in range(0, len(events), 10):
            await asyncio.gather(*(filler.take(events[first : first + 10]) for filler in (one, two)))
            await asyncio.sleep(0.001)
        assert await one.settled(SOON_SECONDS) and await two.settled(SOON_SECONDS)
    await check(world, events)
