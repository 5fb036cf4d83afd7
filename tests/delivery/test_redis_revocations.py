"""Revocations through a real Redis: told, kept, and put back after a loss."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from bus.clock import SystemClock
from bus.errors import StateUnavailable
from bus.ids import MemberId, random_id
from bus.metrics import Metrics
from bus.redis.connection import RedisAddress, redis_client
from delivery.connections import Connections
from delivery.redis_revocations import RedisRevocations
from delivery.revocation import Revocations, member_name
from tests.delivery.harness import eventually
from tests.delivery.issued import TENANT
from tests.delivery.test_socket_lifetime import member

MEMBER = member_name(TENANT, MemberId("m-1"))
pytestmark = pytest.mark.services


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_client(RedisAddress(url=redis_url)) as redis:
        yield redis


@pytest.fixture
async def prefix(redis: Redis) -> AsyncIterator[str]:
    prefix = f"covey:{random_id()}"
    yield prefix
    await redis.delete(f"{prefix}revocations")


def instance(redis: Redis, prefix: str) -> Revocations:
    clock = SystemClock()
    return Revocations(
        RedisRevocations(redis, clock, prefix=prefix),
        connections=Connections(metrics=Metrics(), clock=clock),
        clock=clock,
    )


@contextlib.asynccontextmanager
async def following(*instances: Revocations) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in instances]
    try:
        await eventually(lambda: all(one.loaded for one in instances))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_one_instance_revokes_every_other_hears_at_once(redis: Redis, prefix: str) -> None:
    one, *others = [instance(redis, prefix) for _ in range(3)]
    async with following(one, *others):
        await one.revoke(MEMBER)
        await eventually(lambda: all(other.holds(member()) for other in others))


async def test_an_instance_that_starts_later_knows_it(redis: Redis, prefix: str) -> None:
    await instance(redis, prefix).revoke(MEMBER)
    late = instance(redis, prefix)
    await late.load()
    assert late.loaded and late.holds(member())


async def test_what_redis_lost_the_instances_put_back_when_they_hear_of_it_again(redis: Redis, prefix: str) -> None:
    one = instance(redis, prefix)
    await one.revoke(MEMBER)
    await redis.delete(f"{prefix}revocations")
    async with following(one):
        pass
    late = instance(redis, prefix)
    await late.load()
    assert late.holds(member())


async def test_what_nobody_needs_any_more_goes_by_itself_and_no_id_is_told(redis: Redis, prefix: str) -> None:
    await instance(redis, prefix).revoke(MEMBER)
    assert 0 < await redis.ttl(f"{prefix}revocations") <= 86_402
    held = str(await redis.zrange(f"{prefix}revocations", 0, -1))
    assert MEMBER in held and "m-1" not in held and TENANT not in held


async def test_without_redis_nothing_is_revoked_and_the_operator_hears_so(prefix: str) -> None:
    async with redis_client(RedisAddress(url="redis://127.0.0.1:1/0")) as nowhere:
        one = instance(nowhere, prefix)
        with pytest.raises(StateUnavailable):
            await one.revoke(MEMBER)
        assert not one.holds(member())
