"""What the cache in Redis does beyond the contract: several instances, another key, and a Redis that is away."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from bus.ids import random_id
from bus.redis.connection import RedisAddress, reached, redis_client
from bus.redis.keys import RedisKeys
from bus.sealing import PlainSealer, TenantSealer
from tests.warming.answers import ACME, NOON, answer
from warming.errors import CacheUnavailable
from warming.redis_cache import RedisCoverageCache

pytestmark = pytest.mark.services
DAY = timedelta(days=1)


async def test_instances_that_put_at_once_leave_the_newest_and_keep_the_bound(redis_url: str) -> None:
    keys = RedisKeys(random_id())
    async with redis_client(RedisAddress(url=redis_url)) as one, redis_client(RedisAddress(url=redis_url)) as other:
        caches = [RedisCoverageCache(redis, keys, PlainSealer(), retention=DAY, capacity=4) for redis in (one, other)]
        order = random.Random(3).sample(range(40), 40)
        await asyncio.gather(*(caches[number % 2].put(ACME, f"q{number % 8}", answer(number)) for number in order))
        held = [await caches[0].get(ACME, f"q{number}") for number in range(8)]
        assert held == [None] * 4 + [answer(number) for number in range(36, 40)]
        assert await caches[1].delete_before(NOON + DAY) == 4
        assert await one.keys(f"{keys.prefix}*") == []


async def test_more_than_one_portion_is_deleted(redis_url: str) -> None:
    async with redis_client(RedisAddress(url=redis_url)) as redis:
        cache = RedisCoverageCache(redis, RedisKeys(random_id()), PlainSealer(), retention=DAY)
        await cache.put_all([(ACME, f"q{number}", answer(number)) for number in range(500)])
        assert await cache.delete_before(NOON + timedelta(seconds=450)) == 450
        assert await cache.get(ACME, "q449") is None
        assert await cache.get(ACME, "q450") == answer(450)
        await cache.delete_before(NOON + DAY)


async def test_what_was_sealed_under_another_key_is_no_answer_and_nothing_is_in_the_clear(redis_url: str) -> None:
    async with redis_client(RedisAddress(url=redis_url)) as redis:
        keys = RedisKeys(random_id())
        cache = RedisCoverageCache(redis, keys, TenantSealer(b"k" * 32), retention=DAY)
        other = RedisCoverageCache(redis, keys, TenantSealer(b"o" * 32), retention=DAY)
        await cache.put(ACME, "q", answer())
        assert await other.get(ACME, "q") is None
        (kept,) = (await reached(redis.hgetall(f"{keys.prefix}coverage"))).values()
        assert b"Open Choice" not in kept
        for key in await redis.keys(f"{keys.prefix}*"):
            assert 0 < await redis.pttl(key) <= DAY.total_seconds() * 1_000
        await cache.delete_before(NOON + DAY)


async def test_a_redis_that_is_away_has_no_answer_and_refuses_what_is_put(unused_tcp_port: int) -> None:
    async with redis_client(RedisAddress(url=f"redis://127.0.0.1:{unused_tcp_port}")) as redis:
        cache = RedisCoverageCache(redis, RedisKeys("e"), PlainSealer(), retention=DAY)
        assert await cache.get(ACME, "q") is None
        with pytest.raises(CacheUnavailable):
            await cache.put(ACME, "q", answer())
        with pytest.raises(CacheUnavailable):
            await cache.delete_before(NOON)
