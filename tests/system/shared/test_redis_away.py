"""Redis killed, emptied, or back with old data, under load: time is lost, and nothing else."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.services.redis import RedisServer
from tests.system.shared.cluster import Cluster, cluster, own_redis
from tests.system.shared.load import Load

pytestmark = [pytest.mark.services, pytest.mark.slow]


class Loaded:
    """Two gateways and two workers under load, over a Redis of their own."""

    def __init__(self, together: Cluster, redis: RedisServer, load: Load) -> None:
        self.cluster = together
        self.redis = redis
        self.load = load


@pytest_asyncio.fixture
async def loaded(tmp_path: Path, kafka_address: str) -> AsyncIterator[Loaded]:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails, to run it again
    async with own_redis(tmp_path) as redis, cluster(tmp_path, kafka_address, redis.url) as together:
        first, second, *_ = await asyncio.gather(
            together.serve(), together.serve(), together.worker(), together.worker()
        )
        load = Load(together.client(first, second), random.Random(seed))
        await asyncio.sleep(5)
        yield Loaded(together, redis, load)


async def test_redis_that_is_killed_and_comes_back_costs_time_only(loaded: Loaded, kafka_address: str) -> None:
    loaded.redis.kill()
    await asyncio.sleep(5)
    await loaded.redis.start()
    await asyncio.sleep(5)
    await loaded.load.stop()
    await loaded.load.verify(loaded.cluster, kafka_address)


async def test_redis_that_is_emptied_is_filled_again_and_grants_nothing_too_much(
    loaded: Loaded, kafka_address: str
) -> None:
    async with Redis.from_url(loaded.redis.url) as client:
        for _ in range(2):
            await client.flushall()
            await asyncio.sleep(6)
    await loaded.load.stop()
    await loaded.load.verify(loaded.cluster, kafka_address)


async def test_redis_that_comes_back_with_old_data_is_brought_up_to_date(loaded: Loaded, kafka_address: str) -> None:
    kept = loaded.redis.process.folder / "appendonlydir"
    aside = loaded.redis.process.folder.parent / "aside"
    await loaded.redis.stop()
    shutil.copytree(kept, aside)
    await loaded.redis.start()
    await asyncio.sleep(6)
    loaded.redis.kill()
    shutil.rmtree(kept)
    shutil.copytree(aside, kept)
    await loaded.redis.start()
    await asyncio.sleep(5)
    await loaded.load.stop()
    await loaded.load.verify(loaded.cluster, kafka_address)
