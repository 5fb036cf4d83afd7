"""Old events go, also from the disk, and nothing else does."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bus.clock import SystemClock
from bus.errors import LogUnavailable, StateUnavailable
from bus.events import Topic
from bus.memory_log import MemoryLog
from bus.retention import Retention
from bus.sqlite.log import SqliteLog
from tests.bus.conftest import NOON, OpenSqlite, cancelled, downtime, submitted

DAY = timedelta(days=1)


class SteppingClock(SystemClock):
    """Stands still; each sleep is noted and moves the time on."""

    def __init__(self, now: datetime) -> None:
        self.time = now
        self.slept = asyncio.Queue[float]()

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        await self.slept.put(seconds)
        await asyncio.sleep(0)


class AwayLog(MemoryLog):
    """Cannot delete the first time."""

    away = True

    async def delete_before(self, topic: Topic, time: datetime) -> int:
        if self.away:
            self.away = False
            raise LogUnavailable("The disk is full.")
        return await super().delete_before(topic, time)


def bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def size_of(path: Path) -> int:
    return path.stat().st_size


async def ended(log: MemoryLog | SqliteLog, request_id: str, time: datetime, last_name: str = "Rivera") -> None:
    first = submitted(request_id, time=time, last_name=last_name)
    await log.append([first, cancelled(first)])


async def test_each_topic_is_kept_as_long_as_it_is_kept(memory_log: MemoryLog) -> None:
    for age in (1, 5, 40):
        await ended(memory_log, f"r{age}", NOON - age * DAY)
    await memory_log.append([downtime(time=NOON - 20 * DAY)])
    retention = Retention(memory_log, SteppingClock(NOON), {Topic.RTE: 30 * DAY, Topic.PAYER: 10 * DAY})
    assert await retention.delete_expired() == 1  # in log order, so the old one behind younger ones stays
    await memory_log.delete_before(Topic.RTE, NOON)
    await ended(memory_log, "old", NOON - 31 * DAY)
    await ended(memory_log, "young", NOON - 29 * DAY)
    assert await retention.delete_expired() == 2
    assert {one.event.subject for one in await memory_log.read(Topic.RTE, after=0, limit=9)} == {"young"}


async def test_it_goes_on_by_the_clock_also_after_the_log_was_away() -> None:
    log = await AwayLog.open(new_epoch=lambda: "epoch1")
    await ended(log, "r1", NOON)
    clock = SteppingClock(NOON + 29 * DAY)
    running = asyncio.create_task(Retention(log, clock, every_seconds=DAY.total_seconds()).run(), name="retention")
    for _ in range(4):
        assert await clock.slept.get() == DAY.total_seconds()
    assert await log.read(Topic.RTE, after=0, limit=9) == []
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


class AwayView:
    """Deletes, but not the first time; notes up to when."""

    def __init__(self) -> None:
        self.asked: list[datetime] = []

    async def delete_before(self, time: datetime) -> int:
        self.asked.append(time)
        if len(self.asked) == 1:
            raise StateUnavailable("It is away.")
        return 1


async def test_views_forget_answers_when_the_log_does_also_after_they_were_away(memory_log: MemoryLog) -> None:
    view, clock = AwayView(), SteppingClock(NOON)
    kept = {Topic.RTE: 30 * DAY, Topic.PAYER: 10 * DAY}
    retention = Retention(memory_log, clock, kept, every_seconds=DAY.total_seconds(), views=[view])
    running = asyncio.create_task(retention.run(), name="retention")
    for _ in range(2):
        await clock.slept.get()
    assert view.asked == [NOON - 30 * DAY, NOON - 29 * DAY]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_was_deleted_is_in_no_file_any_more(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    log = await open_sqlite()
    for number in range(60):
        await ended(log, f"r{number}", NOON, last_name=f"Distinctive{number}")
    await ended(log, "young", NOON + 10 * DAY, last_name="Lasting")
    assert b"Distinctive" in bytes_in(tmp_path)
    assert await log.delete_before(Topic.RTE, NOON + DAY) == 120
    assert b"Distinctive" not in bytes_in(tmp_path)
    assert b"Lasting" in bytes_in(tmp_path)
    assert [one.event.subject for one in await log.read(Topic.RTE, after=0, limit=9)] == ["young", "young"]
    await log.close()


async def test_what_a_reader_held_back_leaves_the_next_time(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    log = await open_sqlite()
    await ended(log, "r1", NOON, last_name="Distinctive")
    reading = await SqliteLog.open_for_reading(tmp_path / "log.sqlite", clock=SystemClock())
    await reading._pool.run(lambda connection: connection.execute("BEGIN").fetchall())
    await reading._pool.run(lambda connection: connection.execute("SELECT count(*) FROM events").fetchall())
    await log.delete_before(Topic.RTE, NOON + DAY)
    await reading.close()
    await log.delete_before(Topic.RTE, NOON + DAY)
    assert b"Distinctive" not in bytes_in(tmp_path)
    await log.close()


async def test_the_file_becomes_smaller_in_steps_between_which_appends_go_on(
    open_sqlite: OpenSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.sqlite.deletion.CHUNK_EVENTS", 50)
    monkeypatch.setattr("bus.sqlite.deletion._CHUNK_PAGES", 5)
    log = await open_sqlite()
    for number in range(0, 400, 100):
        requests = [submitted(f"r{each}") for each in range(number, number + 100)]
        await log.append([event for first in requests for event in (first, cancelled(first))])
    await log.delete_before(Topic.PAYER, NOON)  # which also brings everything into the one file
    before = size_of(tmp_path / "log.sqlite")
    deleting = asyncio.create_task(log.delete_before(Topic.RTE, NOON + DAY), name="deleting")
    between = 0
    while not deleting.done():
        await log.append([submitted(f"between{between}", time=NOON + 2 * DAY)])
        between += 1
    assert await deleting == 800
    assert between > 8
    assert size_of(tmp_path / "log.sqlite") < before / 2
    assert len(await log.read(Topic.RTE, after=0, limit=1_000)) == between
    await log.close()
