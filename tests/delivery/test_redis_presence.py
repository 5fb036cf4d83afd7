"""Sockets of all instances, as each instance sees them through a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.clock import SystemClock
from bus.errors import StateUnavailable
from bus.ids import TenantId, random_id
from bus.redis.connection import RedisAddress, redis_client
from bus.redis.keys import RedisKeys
from delivery.connections import Holder
from delivery.presence import InstanceSockets
from delivery.redis_presence import RedisPresence

ACME = TenantId("acme")
ANA = Holder(tenant_id=ACME, kind="member", name="member-17")
JOB = Holder(tenant_id=ACME, kind="service", name="nightly")
FOREIGN = Holder(tenant_id=TenantId("globex"), kind="member", name="member-17")
pytestmark = pytest.mark.services


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_client(RedisAddress(url=redis_url)) as redis:
        yield redis


@pytest.fixture
async def keys(redis: Redis) -> AsyncIterator[RedisKeys]:
    keys = RedisKeys(random_id())
    yield keys
    async for key in redis.scan_iter(f"{keys.prefix}*", count=10_000):
        await redis.delete(key)


def instance(redis: Redis, keys: RedisKeys, name: str, **seconds: float) -> RedisPresence:
    return RedisPresence(redis, keys, SystemClock(), name, **seconds)


class CountingRedis(Redis):
    """Counts its calls."""

    calls = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # as redis-py has it


async def test_a_limit_holds_over_all_instances(redis: Redis, keys: RedisKeys) -> None:
    a, b = instance(redis, keys, "a"), instance(redis, keys, "b")
    assert await a.claim(ANA, 1, limit=3)
    assert await b.claim(ANA, 1, limit=3)
    assert await b.claim(ANA, 2, limit=3)
    assert not await a.claim(ANA, 2, limit=3)
    assert await a.claim(FOREIGN, 3, limit=3)
    await b.beat({ANA: 1})
    assert await a.claim(ANA, 2, limit=3)


async def test_claims_at_the_same_time_never_pass_the_limit(redis: Redis, keys: RedisKeys) -> None:
    claims = [instance(redis, keys, f"i{number}").claim(ANA, 1, limit=5) for number in range(20)]
    assert sum(await asyncio.gather(*claims)) == 5


async def test_claims_that_come_together_are_counted_one_by_one_and_asked_in_few_calls(
    redis: Redis, keys: RedisKeys
) -> None:
    counting = CountingRedis(connection_pool=redis.connection_pool)
    a = instance(counting, keys, "a")
    await a.claim(FOREIGN, 1, limit=1)
    counting.calls = 0
    granted = await asyncio.gather(*(a.claim(ANA, count, limit=5) for count in range(1, 21)), a.claim(JOB, 1, limit=1))
    assert granted == [True] * 5 + [False] * 15 + [True]
    assert counting.calls == 1
    assert await a.of_tenant(ACME) == [InstanceSockets(instance="a", by_kind={"member": 5, "service": 1})]


async def test_a_claim_whose_owner_gave_up_is_not_registered(redis: Redis, keys: RedisKeys) -> None:
    a = instance(redis, keys, "a")
    first, second, third = (asyncio.create_task(a.claim(ANA, count, limit=9)) for count in (1, 2, 3))
    await asyncio.sleep(0)  # they wait now; nothing was asked yet
    second.cancel()
    third.cancel()
    assert await first
    assert await a.of_tenant(ACME) == [InstanceSockets(instance="a", by_kind={"member": 1})]


async def test_where_redis_is_away_every_claim_under_way_hears_of_it() -> None:
    async with redis_client(RedisAddress(url="redis://127.0.0.1:1")) as nobody:
        a = instance(nobody, RedisKeys("none"), "a")
        claims = await asyncio.gather(*(a.claim(ANA, count, limit=9) for count in (1, 2)), return_exceptions=True)
    assert [type(claim) for claim in claims] == [StateUnavailable, StateUnavailable]


async def test_a_claim_that_comes_twice_counts_once(redis: Redis, keys: RedisKeys) -> None:
    a = instance(redis, keys, "a")
    assert await a.claim(ANA, 1, limit=1)
    assert await a.claim(ANA, 1, limit=1)


async def test_an_operator_sees_the_sockets_of_their_tenant_on_every_instance(redis: Redis, keys: RedisKeys) -> None:
    a, b = instance(redis, keys, "a"), instance(redis, keys, "b")
    await a.beat({ANA: 2, JOB: 3, FOREIGN: 7})
    await b.beat({})
    assert await b.of_tenant(ACME) == [
        InstanceSockets(instance="a", by_kind={"member": 2, "service": 3}),
        InstanceSockets(instance="b", by_kind={}),
    ]
    await a.leave()
    assert [one.instance for one in await b.of_tenant(ACME)] == ["b"]


async def test_nothing_stays_of_an_instance_that_died(redis: Redis, keys: RedisKeys) -> None:
    dead, living = instance(redis, keys, "dead", kept_seconds=0.05), instance(redis, keys, "living")
    await living.beat({})
    await dead.beat({ANA: 1})
    while len(await living.of_tenant(ACME)) == 2:  # noqa: ASYNC110 - Redis' clock ends it
        await asyncio.sleep(0.01)
    assert await living.claim(ANA, 1, limit=1)
    assert await redis.keys(f"{keys.prefix}presence:dead") == []


async def test_the_last_instance_to_die_leaves_no_key(redis: Redis, keys: RedisKeys) -> None:
    await instance(redis, keys, "dead", kept_seconds=0.05).beat({ANA: 1})
    while await redis.keys(f"{keys.prefix}*"):  # noqa: ASYNC110 - Redis' clock ends it
        await asyncio.sleep(0.01)


async def test_a_heartbeat_puts_back_what_redis_lost(redis: Redis, keys: RedisKeys) -> None:
    a = instance(redis, keys, "a", heartbeat_seconds=0.01)
    beating = asyncio.create_task(a.run(lambda: {ANA: 2}))
    for _ in range(2):
        while not await a.of_tenant(ACME):  # noqa: ASYNC110 - seen from outside only
            await asyncio.sleep(0.01)
        await redis.delete(*await redis.keys(f"{keys.prefix}*"))
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating
    assert await a.of_tenant(ACME) == []


async def test_no_ones_id_lies_in_redis(redis: Redis, keys: RedisKeys) -> None:
    await instance(redis, keys, "a").beat({ANA: 1})
    for key in await redis.keys(f"{keys.prefix}*"):
        assert b"member-17" not in key and b"member-17" not in (await redis.dump(key) or b"")
