"""Redis fails over, under one address, to a replica that lags: what it forgot is found again in the log."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.services.redis import RedisServer
from tests.system.balancer import balancing
from tests.system.shared.cluster import cluster, own_redis
from tests.system.shared.load import Load

pytestmark = [pytest.mark.services, pytest.mark.slow]
DEADLINE_SECONDS = 25
LAG_SECONDS = 3.0


async def test_a_failover_to_a_replica_that_lags_costs_time_only(tmp_path: Path, kafka_address: str) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails, to run it again
    async with own_redis(tmp_path) as primary:
        replica = RedisServer(tmp_path / "replica", replica_of=primary.port)
        await replica.start()
        try:
            async with (
                Redis.from_url(replica.url) as promoted,
                balancing(primary.port) as address,
                cluster(tmp_path, kafka_address, f"redis://127.0.0.1:{address.port}/0") as together,
            ):
                first, second, *_ = await asyncio.gather(
                    together.serve(), together.serve(), together.worker(), together.worker()
                )
                load = Load(together.client(first, second), random.Random(seed), deadline_seconds=DEADLINE_SECONDS)
                await asyncio.sleep(5)
                await promoted.replicaof("127.0.0.1", "1")  # cut off: from here on it lags
                known = len(load.acknowledged)
                await asyncio.sleep(LAG_SECONDS)
                assert len(load.acknowledged) > known  # of which the replica never hears
                primary.kill()
                await promoted.replicaof("NO", "ONE")
                address.targets = [replica.port]
                await asyncio.sleep(6)
                await load.stop()
                await load.verify(together, kafka_address)
        finally:
            await replica.stop()
