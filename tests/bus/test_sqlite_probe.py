"""Whether the log can be written is told honestly, and seldom enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.clock import SystemClock
from bus.errors import LogUnavailable
from bus.metrics import Metrics
from bus.sqlite.log import SqliteLog
from tests.bus.conftest import OpenSqlite, submitted
from tests.bus.test_sqlite_faults import limit_pages


class HandClock(SystemClock):
    """Its monotonic time is what the test says."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def log(tmp_path: Path, clock: HandClock) -> SqliteLog:
    return await SqliteLog.open(tmp_path / "log.sqlite", clock=clock, new_epoch=lambda: "epoch1", metrics=Metrics())


async def append_until_refused(log: SqliteLog) -> None:
    for number in range(1_000):
        await log.append([submitted(f"r{number}")])


async def fill(log: SqliteLog) -> None:
    """Let the file grow no more, and use up what is free in it."""
    await limit_pages(log, 1)  # SQLite takes it as: no more than now
    with pytest.raises(LogUnavailable):
        await append_until_refused(log)


async def test_a_log_that_can_be_written_has_no_fault_and_each_trial_reaches_the_disk(
    log: SqliteLog, clock: HandClock, tmp_path: Path
) -> None:
    ahead = tmp_path / "log.sqlite-wal"
    for _ in range(4):
        before = ahead.stat().st_size
        assert await log.probe() is None
        assert ahead.stat().st_size - before > 32 * 1024
        clock.at += 1.0
    size = (tmp_path / "log.sqlite").stat().st_size
    await log.close()
    assert (tmp_path / "log.sqlite").stat().st_size < size + 200_000  # trials give back what they take


async def test_a_write_that_failed_is_told_before_the_next_trial_and_a_write_that_did_not_mends_it(
    log: SqliteLog, clock: HandClock
) -> None:
    assert await log.probe() is None
    await fill(log)
    fault = await log.probe()
    assert isinstance(fault, LogUnavailable) and "is full" in str(fault)
    await limit_pages(log, 1_000_000)
    await log.append([submitted("late")])
    assert await log.probe() is None
    await log.close()


async def test_a_full_disk_is_noticed_where_nobody_writes_an_event(log: SqliteLog, clock: HandClock) -> None:
    assert await log.probe() is None  # its pages are there now; writing them again would prove nothing
    await fill(log)
    clock.at += 1.0
    assert isinstance(await log.probe(), LogUnavailable)
    await log.append([])  # changes a word in its place, which a full disk allows
    clock.at += 1.0
    assert isinstance(await log.probe(), LogUnavailable)
    await limit_pages(log, 1_000_000)
    assert isinstance(await log.probe(), LogUnavailable)  # the disk is asked once a second
    clock.at += 1.0
    assert await log.probe() is None
    await log.close()


async def test_a_closed_log_cannot_be_written(open_sqlite: OpenSqlite) -> None:
    log = await open_sqlite()
    await log.close()
    with pytest.raises(LogUnavailable, match="closed"):
        await log.probe()
