"""Processes that stop running with all their connections open, and wake much later believing that nothing happened."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from tests.system.shared.cluster import cluster, own_redis
from tests.system.shared.load import Load

pytestmark = [pytest.mark.services, pytest.mark.slow]
PAST_LEASE_SECONDS = 6.0


@pytest.mark.parametrize("role", ["worker", "serve"])
async def test_a_frozen_process_is_done_without_and_does_no_harm_when_it_wakes(
    tmp_path: Path, kafka_address: str, role: str
) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails, to run it again
    async with own_redis(tmp_path) as redis, cluster(tmp_path, kafka_address, redis.url) as together:
        first, second, *_ = await asyncio.gather(
            together.serve(), together.serve(), together.worker(), together.worker()
        )
        load = Load(together.client(first, second), random.Random(seed))
        await asyncio.sleep(5)
        victim = next(instance for instance in together.instances if instance.role == role)
        for _ in range(2):
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(PAST_LEASE_SECONDS)
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(2)
        await load.stop()
        await load.verify(together, kafka_address)
