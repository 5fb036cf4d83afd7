"""Redis killed, frozen, emptied, or back with old data, under load: time is lost, and nothing else."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.services.redis import RedisServer
from tests.system.program import TERMINAL, question, subscribe
from tests.system.shared.cluster import SPEED, Cluster, cluster, own_redis
from tests.system.shared.load import PAYERS, QUICK_PAYERS, Load
from tests.system.shared.roaming import MEMBER_EVENTS, Roaming, items_of

pytestmark = [pytest.mark.services, pytest.mark.slow]
DEADLINE_SECONDS: Final = 25
FROZEN_SECONDS: Final = 15.0
LONG_CALLS: Final[dict[str, Any]] = {
    "payers": QUICK_PAYERS,
    "speed": 20,
    "lease_seconds": "10",
    "call_timeout_seconds": "7",
}
"""A slow payer answers after three seconds or more, so that a call can outlast what is done to Redis."""


class Loaded:
    """Two gateways and two workers under load, over a Redis of their own."""

    def __init__(self, together: Cluster, redis: RedisServer, load: Load, client: Roaming) -> None:
        self.cluster = together
        self.redis = redis
        self.load = load
        self.client = client


@asynccontextmanager
async def loading(
    folder: Path, kafka_address: str, *, payers: Sequence[str] = PAYERS, speed: float = SPEED, **settings: str
) -> AsyncIterator[Loaded]:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails, to run it again
    async with (
        own_redis(folder) as redis,
        cluster(folder, kafka_address, redis.url, speed=speed, links=settings) as together,
    ):
        first, second, *_ = await asyncio.gather(
            together.serve(), together.serve(), together.worker(), together.worker()
        )
        client = together.client(first, second)
        load = Load(client, random.Random(seed), deadline_seconds=DEADLINE_SECONDS, payers=payers)
        await asyncio.sleep(5)
        yield Loaded(together, redis, load, client)


@pytest_asyncio.fixture
async def loaded(tmp_path: Path, kafka_address: str) -> AsyncIterator[Loaded]:
    async with loading(tmp_path, kafka_address) as loaded:
        yield loaded


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


async def test_a_call_that_ends_while_redis_is_frozen_is_told_to_open_sockets_meanwhile(
    tmp_path: Path, kafka_address: str
) -> None:
    async with loading(tmp_path, kafka_address, **LONG_CALLS) as loaded, AsyncExitStack() as sockets:
        watching = [await sockets.enter_async_context(watch(loaded.client, at)) for at in (0, 1)]
        request_id = await loaded.client.submitted(question("m-watched", "SIMSLOW"))
        for events in watching:
            assert await told(events, request_id, {"STARTED"}) == "STARTED"

        loaded.redis.process.freeze()
        try:
            async with asyncio.timeout(FROZEN_SECONDS) as frozen:
                for events in watching:
                    assert await told(events, request_id, TERMINAL) == "COMPLETED"
            left_seconds = (frozen.when() or 0.0) - asyncio.get_running_loop().time()
            await asyncio.sleep(left_seconds)
        finally:
            loaded.redis.process.thaw()
        await asyncio.sleep(5)
        await loaded.load.stop()
        await loaded.load.verify(loaded.cluster, kafka_address)


@asynccontextmanager
async def watch(client: Roaming, at: int) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """What one gateway tells of a member, from now on."""
    async with client.socket(at) as socket_:
        await subscribe(socket_, MEMBER_EVENTS, member="m-watched")
        events = items_of(socket_, "memberEvents")
        assert (await anext(events))["__typename"] == "Checkpoint"
        yield events


async def told(events: AsyncIterator[dict[str, Any]], request_id: str, types: AbstractSet[str]) -> str:
    """The first of these types that is told of a request."""
    return await anext(
        item["type"] async for item in events if item.get("requestId") == request_id and item["type"] in types
    )
