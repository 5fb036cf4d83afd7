"""SIGKILL of a random process every few seconds under load: nothing acknowledged is lost, and nothing ends twice."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.system.shared.cluster import cluster, own_redis
from tests.system.shared.load import Load

pytestmark = [pytest.mark.services, pytest.mark.slow]
SECONDS = float(os.environ.get("TEST_CHAOS_SECONDS", "60"))


async def test_random_kills_lose_nothing_and_end_nothing_twice(tmp_path: Path, kafka_address: str) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails, to run it again
    rng = random.Random(seed)
    async with own_redis(tmp_path) as redis, cluster(tmp_path, kafka_address, redis.url) as together:
        gateways = [together.new("serve") for _ in range(2)]
        workers = [together.new("worker") for _ in range(3)]
        await asyncio.gather(*(instance.start() for instance in (*gateways, *workers)))
        load = Load(together.client(*gateways), rng)
        loop = asyncio.get_running_loop()
        end = loop.time() + SECONDS
        while loop.time() < end:
            await asyncio.sleep(rng.uniform(2, 5))
            victim = rng.choice(together.instances)
            await victim.kill()
            await victim.start(ready=False)
        await load.stop()
        await load.verify(together, kafka_address)
