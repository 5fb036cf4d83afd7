"""Every adapter of the coverage cache, for the warming room's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from bus.ids import random_id
from bus.redis.connection import RedisAddress, redis_client
from bus.redis.keys import RedisKeys
from bus.sealing import PlainSealer, TenantSealer
from warming.cache import CoverageCache, NotedCache
from warming.memory_cache import MemoryCache
from warming.redis_cache import RedisCoverageCache
from warming.sqlite_cache import SqliteCache


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "views.sqlite3"


@asynccontextmanager
async def redis_cache(url: str, *, capacity: int = 3, sealed: bool = False) -> AsyncIterator[RedisCoverageCache]:
    """A cache under keys of its own in a real Redis, which it leaves as it was."""
    async with redis_client(RedisAddress(url=url)) as redis:
        keys = RedisKeys(random_id())
        sealer = TenantSealer(b"k" * 32) if sealed else PlainSealer()
        yield RedisCoverageCache(redis, keys, sealer, retention=timedelta(days=1), capacity=capacity)
        async for key in redis.scan_iter(f"{keys.prefix}*", count=10_000):
            await redis.delete(key)


@asynccontextmanager
async def own_cache(kind: str, path: Path) -> AsyncIterator[NotedCache]:
    """A cache of one process."""
    if kind == "memory":
        yield MemoryCache(capacity=3)
        return
    sqlite = await SqliteCache.open(
        path,
        epoch="log-1",
        capacity=3,
        hot_capacity=0 if "without" in kind else 2,
        sealer=TenantSealer(b"k" * 32) if "sealed" in kind else None,
    )
    yield sqlite
    await sqlite.close()


OWN = ["memory", "sqlite", "sqlite without memory before it", "sqlite, sealed"]


@pytest.fixture(
    params=[
        *OWN,
        pytest.param("redis", marks=pytest.mark.services),
        pytest.param("redis, sealed", marks=pytest.mark.services),
    ]
)
async def cache(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[CoverageCache]:
    """Room for three entries."""
    kind: str = request.param
    if kind.startswith("redis"):
        async with redis_cache(request.getfixturevalue("redis_url"), sealed="sealed" in kind) as redis:
            yield redis
    else:
        async with own_cache(kind, path) as own:
            yield own


@pytest.fixture(params=OWN)
async def noted_cache(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[NotedCache]:
    """The same, of those that note how far they have come."""
    async with own_cache(request.param, path) as own:
        yield own
