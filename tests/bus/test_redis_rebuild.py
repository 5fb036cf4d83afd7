"""Filling an empty Redis: resumable, by one instance at a time, while the readers go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from itertools import count

import pytest

from bus.backlog import Through
from bus.errors import LogUnavailable, StateUnavailable
from bus.events import Recorded
from bus.ids import MemberId, TenantId, random_id
from bus.log import Span
from bus.redis.lease import RedisLease
from bus.redis.rebuild import Rebuild
from bus.redis.views import RedisViews
from tests.bus.conftest import enqueued, submitted
from tests.bus.redis_world import Counting, RedisWorld, recorded, redis_world

T1 = TenantId("t1")
PARTITIONS = 6
pytestmark = pytest.mark.services


class Partitions:
    """Events behind the port of the backlog; reading breaks off where the test says."""

    def __init__(self, requests: int) -> None:
        self.events = {
            partition: recorded(
                [
                    event
                    for number in range(requests)
                    for first in [submitted(f"r{partition}-{number}", member=f"m{partition}")]
                    for event in (first, enqueued(first))
                ],
                partition=partition,
            )
            for partition in range(PARTITIONS)
        }
        self.read_positions: list[tuple[int, int]] = []
        self.floors = dict.fromkeys(range(PARTITIONS), 0)
        self.breaks_after = 10**9
        self.start_seconds = 0.0
        """As a consumer takes until it brings the first."""

    async def spans(self) -> Mapping[int, Span]:
        return {
            partition: Span(floor=self.floors[partition], end=events[-1].position)
            for partition, events in self.events.items()
        }

    async def read(self, partition: int, *, after: int, through: Through) -> AsyncGenerator[Sequence[Recorded], None]:
        await asyncio.sleep(self.start_seconds)
        while after < through():
            await asyncio.sleep(0)
            if len(self.read_positions) >= self.breaks_after:
                raise LogUnavailable("The log is away.")
            batch = [one for one in self.events[partition] if one.position > after][:7]
            self.read_positions += [(partition, one.position) for one in batch]
            yield batch
            after = batch[-1].position


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[RedisWorld]:
    async with redis_world(redis_url) as world:
        yield world


def lease_of(world: RedisWorld, seconds: float = 30) -> RedisLease:
    return RedisLease(world.redis, world.keys.rebuild, world.clock, random_id, seconds=seconds)


def rebuild_of(world: RedisWorld, log: Partitions, views: RedisViews | None = None, **options: Counting) -> Rebuild:
    return Rebuild(views or world.views(), log, lease_of(world), world.clock, before=tuple(options.values()))


async def complete(world: RedisWorld, log: Partitions) -> bool:
    for partition, events in log.events.items():
        kept = await world.history.of_member(T1, MemberId(f"m{partition}"), partition, after=0, limit=10_000)
        if list(kept.events) != [one for one in events if one.position > log.floors[partition]]:
            return False
    return True


async def test_an_empty_redis_is_filled_and_tells_how_far_it_is(world: RedisWorld) -> None:
    log, told, cache = Partitions(20), list[tuple[int, int]](), Counting()
    assert await rebuild_of(world, log, cache=cache).fill(lambda done, total: told.append((done, total)))
    assert await complete(world, log)
    assert told[-1] == (40 * PARTITIONS, 40 * PARTITIONS)
    assert told == sorted(told)
    assert len(cache.taken) == 40 * PARTITIONS


async def test_what_the_log_has_lost_is_not_claimed(world: RedisWorld) -> None:
    log = Partitions(20)
    log.floors[2] = 11
    assert await rebuild_of(world, log).fill()
    assert await complete(world, log)
    kept = await world.history.of_member(T1, MemberId("m2"), 2, after=0, limit=10_000)
    assert kept.after == 11


async def test_one_that_was_broken_off_is_resumed_where_it_was(world: RedisWorld) -> None:
    log = Partitions(20)
    log.breaks_after = 60
    with pytest.raises(LogUnavailable):
        await rebuild_of(world, log).fill()
    log.breaks_after = 10**9
    assert await rebuild_of(world, log).fill()
    assert await complete(world, log)
    # What had been read and not written when it broke is read again, and nothing else.
    assert len(log.read_positions) - len(set(log.read_positions)) <= 4 * 7


async def test_instances_do_it_one_at_a_time(world: RedisWorld) -> None:
    log = Partitions(20)
    done = await asyncio.gather(*(rebuild_of(world, log).fill() for _ in range(3)))
    assert sorted(done) == [False, False, True]
    assert await complete(world, log)
    assert len(log.read_positions) == len(set(log.read_positions))


async def test_a_lease_that_is_not_renewed_goes_to_the_next(world: RedisWorld) -> None:
    dead, next_one = lease_of(world, seconds=0.05), lease_of(world)
    assert await dead.acquire()
    while not await next_one.acquire():  # noqa: ASYNC110 - Redis' clock ends the lease
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.02)  # a third of its time has gone
    assert not await dead.keep()
    await dead.release()
    assert await next_one.keep()
    assert not await lease_of(world).acquire()


async def test_a_former_holder_that_goes_on_writing_does_no_harm(world: RedisWorld) -> None:
    log, former = Partitions(20), world.views()
    stopped = log.events[0][:10]
    assert await former.write(0, stopped, after=0) == 10
    assert await rebuild_of(world, log).fill()
    held = await world.held()
    assert await former.write(0, log.events[0][10:20], after=10) == 40
    assert await world.held() == held


async def test_readers_that_ran_ahead_of_an_emptied_redis_write_again_when_it_is_filled(world: RedisWorld) -> None:
    log, views = Partitions(20), world.views()
    for events in log.events.values():
        await views.take(events[:30])
    await world.forget()
    rebuilding = asyncio.create_task(rebuild_of(world, log, views).run())
    for events in log.events.values():
        for first in range(30, 40, 2):
            await views.take(events[first : first + 2])
            await asyncio.sleep(0.001)
    while views.lacking or not await complete(world, log):  # noqa: ASYNC110 - seen from outside only
        await asyncio.sleep(0.01)
    rebuilding.cancel()
    with suppress(asyncio.CancelledError):
        await rebuilding
    more = recorded([submitted("more", member="m1")], after=40, partition=1)
    await views.take(more)
    assert (await views.progress(1)).through == 41


async def test_where_events_keep_coming_a_rebuild_ends_all_the_same(world: RedisWorld) -> None:
    log, views = Partitions(20), world.views()
    log.start_seconds = 0.05
    for events in log.events.values():
        await views.take(events)
    await world.forget()

    enough = asyncio.Event()

    async def feed() -> None:
        for number in count():
            if enough.is_set():
                return
            for partition, events in log.events.items():
                event = submitted(f"more{partition}-{number}", member=f"m{partition}")
                events.extend(recorded([event], after=events[-1].position, partition=partition))
                await views.take(events[-1:])
            await asyncio.sleep(0.002)

    feeding = asyncio.create_task(feed())
    while not views.lacking:  # noqa: ASYNC110 - seen from outside only
        await asyncio.sleep(0.001)
    async with asyncio.timeout(30):
        assert await rebuild_of(world, log, views).fill()
    assert not views.lacking and not feeding.done()
    enough.set()
    await feeding
    assert not views.lacking
    assert await complete(world, log)


async def test_a_loss_in_silence_is_noticed_without_an_event(world: RedisWorld) -> None:
    views = world.views()
    await views.take(Partitions(1).events[3])
    await views.look()
    assert not views.lacking
    await world.forget()
    await views.look()
    assert views.lacking == {3}


async def test_a_redis_emptied_in_the_midst_breaks_the_rebuild_off(world: RedisWorld) -> None:
    log = Partitions(20)

    class Emptying(Counting):
        async def take(self, batch: Sequence[Recorded]) -> None:
            if batch[0].position > 20:
                await world.redis.delete(world.keys.progress(batch[0].partition))

    with pytest.raises(StateUnavailable):
        await rebuild_of(world, log, emptying=Emptying()).fill()
    await world.forget()
    assert await rebuild_of(world, log).fill()
    assert await complete(world, log)
