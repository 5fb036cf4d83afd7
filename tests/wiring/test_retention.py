"""Answers are kept no longer than the events they came by."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from bus.clock import SystemClock
from bus.metrics import Metrics
from bus.sealing import PlainSealer
from settings import load
from tests.warming.answers import ACME, NOON, answer
from wiring.embedded import embedded_store, open_sqlite_log
from wiring.foundation import Foundation


class MonthLater(SystemClock):
    """Stands 30 days after noon; tells when a chore has done its round."""

    def __init__(self) -> None:
        self.round_done = asyncio.Event()

    def now(self) -> datetime:
        return NOON + timedelta(days=30)

    async def sleep(self, seconds: float) -> None:
        if seconds >= 3600:
            self.round_done.set()
        await super().sleep(seconds)


async def test_the_coverage_cache_forgets_what_the_log_no_longer_keeps(tmp_path: Path) -> None:
    clock = MonthLater()
    settings = load(data=tmp_path, retention_days=30)
    base = Foundation(settings, "http://127.0.0.1:9", clock, Random(1), Metrics(), PlainSealer())
    async with embedded_store(base, open_sqlite_log) as store:
        await store.cache.put(ACME, "too old", answer(-1))
        await store.cache.put(ACME, "kept", answer(0))
        retention = asyncio.create_task(store.chores["retention"](), name="retention")
        await clock.round_done.wait()
        retention.cancel()
        await asyncio.gather(retention, return_exceptions=True)
        assert await store.cache.get(ACME, "too old") is None
        assert await store.cache.get(ACME, "kept") == answer(0)
