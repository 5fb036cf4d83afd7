"""A Redis that may throw keys away is told of, once, with the cure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from bus.clock import SystemClock
from bus.redis.connection import RedisAddress, redis_client
from bus.redis.eviction import LOOK_SECONDS, eviction, watch_eviction
from tests.services.redis import RedisServer

pytestmark = pytest.mark.services


class Rounds(SystemClock):
    """Counts the pauses, which are short."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
async def redis(tmp_path: Path, redis_url: str) -> AsyncIterator[Redis]:
    server = RedisServer(tmp_path / "redis")
    await server.start()
    async with redis_client(RedisAddress(url=server.url)) as redis:
        yield redis
    await server.stop()


async def test_a_policy_that_throws_keys_away_is_named_with_its_cure(redis: Redis) -> None:
    assert await eviction(redis) is None

    await redis.config_set("maxmemory-policy", "allkeys-lru")

    told = await eviction(redis)
    assert told is not None
    assert "maxmemory-policy allkeys-lru" in told and "redis-cli config set maxmemory-policy noeviction" in told


async def test_it_is_warned_of_once_until_it_was_mended(redis: Redis) -> None:
    await redis.config_set("maxmemory-policy", "volatile-ttl")
    clock = Rounds()

    async def rounds(more: int) -> None:
        wanted = len(clock.pauses) + more
        while len(clock.pauses) < wanted:  # noqa: ASYNC110 - the clock tells nobody
            await asyncio.sleep(0.001)

    with capture_logs() as lines:
        watching = asyncio.create_task(watch_eviction(redis, clock))
        await rounds(5)
        assert [line["event"] for line in lines] == ["redis_may_evict"]
        await redis.config_set("maxmemory-policy", "noeviction")
        await rounds(3)
        await redis.config_set("maxmemory-policy", "volatile-ttl")
        await rounds(3)
        assert len(lines) == 2
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert set(clock.pauses) == {LOOK_SECONDS}
