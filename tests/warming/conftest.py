"""Every adapter of the coverage cache, for the warming room's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.sealing import TenantSealer
from warming.cache import CoverageCache
from warming.memory_cache import MemoryCache
from warming.sqlite_cache import SqliteCache


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "views.sqlite3"


@pytest.fixture(params=["memory", "sqlite", "sqlite without memory before it", "sqlite, sealed"])
async def cache(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[CoverageCache]:
    """Room for three entries."""
    kind: str = request.param
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
