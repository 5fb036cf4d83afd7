"""Of any number at once, one has a derived id."""

from __future__ import annotations

import asyncio

import pytest

from bus.errors import StateUnavailable
from bus.ids import RequestId
from bus.redis.claims import RedisClaims
from bus.redis.connection import RedisAddress, redis_client
from bus.redis.keys import RedisKeys
from tests.bus.redis_world import redis_world
from tests.services.process import free_ports

ONE = RequestId("r1")


@pytest.mark.services
async def test_the_first_has_it_and_has_it_again(redis_url: str) -> None:
    async with redis_world(redis_url) as here, redis_client(RedisAddress(url=redis_url)) as there:
        claims = [RedisClaims(here.redis, here.keys), RedisClaims(there, here.keys)]
        told = await asyncio.gather(*(claims[number % 2].claim(ONE, f"f{number}") for number in range(8)))
        assert len(set(told)) == 1
        assert await claims[1].claim(ONE, told[0]) == told[0]
        assert await claims[0].claim(RequestId("r2"), "other") == "other"
        assert await here.redis.ttl(here.keys.claim(ONE)) > 0  # it goes by itself


async def test_who_cannot_ask_is_told() -> None:
    [port] = free_ports(1)
    async with redis_client(RedisAddress(url=f"redis://127.0.0.1:{port}/0")) as redis:
        with pytest.raises(StateUnavailable):
            await RedisClaims(redis, RedisKeys("epoch")).claim(ONE, "f")
