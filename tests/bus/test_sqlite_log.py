"""What the SQLite log does besides the contract: it lasts, it groups, and it is read while it is written."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from bus.clock import SystemClock
from bus.errors import LogLocked, LogUnavailable
from bus.events import Topic
from bus.fold import RequestStatus
from bus.ids import MemberId, RequestId, TenantId
from bus.sealing import TenantSealer
from bus.sqlite.log import SqliteLog
from tests.bus.conftest import NOON, OpenSqlite, cancelled, downtime, enqueued, started, submitted

T1 = TenantId("t1")
ROOT = Path(__file__).parents[2]


@contextmanager
def appending(path: Path, prefix: str = "r") -> Iterator[subprocess.Popen[str]]:
    """A second process that has the log and appends to it; killed at the end, without a chance to say goodbye."""
    command = [sys.executable, "-m", "tests.bus.appending", str(path), prefix]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_everything_is_there_after_reopening(open_sqlite: OpenSqlite) -> None:
    log = await open_sqlite()
    first = submitted()
    recorded = await log.append([first, enqueued(first), downtime()])
    await log.close()
    again = await open_sqlite(epoch="another")
    assert again.epoch == "epoch1"
    assert [
        *await again.read(Topic.RTE, after=0, limit=9),
        *await again.read(Topic.PAYER, after=0, limit=9),
    ] == recorded
    assert await again.append([enqueued(first)]) == [None]
    (ended,) = await again.append([cancelled(enqueued(first))])
    assert ended and recorded[-1] and ended.position > recorded[-1].position
    await again.close()


async def test_closing_leaves_one_file_and_twice_is_once(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    log = await open_sqlite()
    await log.append([submitted()])
    await log.close()
    await log.close()
    assert names_in(tmp_path) == {"log.sqlite", "log.sqlite.lock"}
    with pytest.raises(LogUnavailable):
        await log.read_member(T1, MemberId("m1"), after=0, limit=1)
    with pytest.raises(LogUnavailable):
        await log.delete_before(Topic.RTE, NOON)


async def test_what_was_on_its_way_when_it_closed_is_written(open_sqlite: OpenSqlite) -> None:
    log = await open_sqlite()
    appends = [asyncio.ensure_future(log.append([submitted(f"r{number}")])) for number in range(20)]
    await asyncio.sleep(0)
    await log.close()
    assert all(result[0] for result in await asyncio.gather(*appends))


async def test_appends_that_wait_are_written_in_one_transaction(open_sqlite: OpenSqlite) -> None:
    log = await open_sqlite()
    statements: list[str] = []
    held, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(statements.append)
        loop.call_soon_threadsafe(held.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()

    holding = asyncio.ensure_future(log._writer.run(hold))
    await held.wait()
    appends = [asyncio.ensure_future(log.append([submitted(f"r{number}")])) for number in range(100)]
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(holding, *appends)
    assert statements.count("COMMIT") == 1
    await log.close()


async def test_more_than_may_wait_is_refused_at_once(open_sqlite: OpenSqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.sqlite.writer._WAITING_EVENTS", 3)
    log = await open_sqlite()
    first = submitted()
    accepted = asyncio.ensure_future(log.append([first, enqueued(first)]))
    await asyncio.sleep(0)
    with pytest.raises(LogUnavailable, match="2 events wait"):
        await log.append([submitted("r2"), submitted("r3")])
    await accepted
    assert None not in await log.append([submitted("r2"), submitted("r3")])
    await log.close()


async def test_an_event_that_is_no_ones_is_its_writers_fault_alone(open_sqlite: OpenSqlite) -> None:
    log = await open_sqlite()
    nobodys = enqueued(submitted())
    bare = type(nobodys)(id=nobodys.id, source="test", subject="r1", time=NOON, data=nobodys.data, sequence=2)
    good, bad = await asyncio.gather(log.append([submitted()]), log.append([bare]), return_exceptions=True)
    assert isinstance(bad, ValueError)
    assert not isinstance(good, BaseException) and good[0]
    await log.close()


async def test_the_newest_events_are_read_without_the_file(
    open_sqlite: OpenSqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await open_sqlite()
    first = submitted()
    recorded = await log.append([first, enqueued(first)])
    await log._pool.close()  # from here on nothing can be read from the file
    assert await log.read(Topic.RTE, after=0, limit=10) == recorded
    assert len(await log.read_request(RequestId("r1"))) == 2
    assert (state := await log.get(T1, RequestId("r1"))) and state.status is RequestStatus.ENQUEUED
    await log.close()


async def test_a_log_that_is_written_is_read_by_others_too(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    class AppendingClock(SystemClock):
        async def sleep(self, seconds: float) -> None:
            await log.append([downtime("p2")])

    log = await open_sqlite()
    await log.append([submitted(), downtime("p1")])
    reader = await SqliteLog.open_for_reading(tmp_path / "log.sqlite", clock=AppendingClock())
    assert reader.epoch == "epoch1"
    assert [one.event.subject for one in await reader.read(Topic.RTE, after=0, limit=9)] == ["r1"]
    assert await reader.floor(Topic.RTE) == 0
    assert len(await reader.people_asked_about(T1, MemberId("m1"), "m1", NOON)) == 1
    await reader.wait_beyond(Topic.PAYER, await reader.end(Topic.PAYER))
    assert await reader.end(Topic.PAYER) == await log.end(Topic.PAYER)
    await reader.close()
    await log.close()


async def test_a_second_process_is_told_who_has_the_log(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    with appending(tmp_path / "log.sqlite") as process:
        with pytest.raises(LogLocked, match=rf"log\.sqlite is in use by process {process.pid}\b"):
            await open_sqlite()
        reader = await SqliteLog.open_for_reading(tmp_path / "log.sqlite", clock=SystemClock())
        await reader.wait_beyond(Topic.RTE, 0)
        assert await reader.read(Topic.RTE, after=0, limit=1)
        await reader.close()
    log = await open_sqlite()  # the lock died with its process
    await log.close()


async def test_whatever_was_acknowledged_survives_being_killed(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    random = Random(5)
    acknowledged: list[str] = []
    for round_ in range(3):
        with appending(tmp_path / "log.sqlite", f"round{round_}") as process:
            assert process.stdout
            acknowledged += [process.stdout.readline().strip() for _ in range(random.randrange(50, 400))]
            process.kill()
            acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
        log = await open_sqlite()
        for request_id in acknowledged:
            state = await log.get(T1, RequestId(request_id))
            assert state is not None and state.sequence == 2
        await log.close()
        with closing(sqlite3.connect(tmp_path / "log.sqlite")) as file:
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("sealer", [None, TenantSealer(b"k" * 32)], ids=["plain", "sealed"])
async def test_views_that_are_missing_are_made_anew(
    open_sqlite: OpenSqlite, tmp_path: Path, sealer: TenantSealer | None
) -> None:
    async def views(log: SqliteLog) -> tuple[object, ...]:
        page = await log.page(T1, member_id=None, statuses=frozenset(), first=9, before=None)
        opened = [state async for state in log.open_requests()]
        people = await log.people_asked_about(T1, MemberId("m1"), "m1", NOON)
        return page, opened, people, await log.calls_unaccounted(NOON)

    log = await open_sqlite(sealer=sealer)
    one, two = submitted("r1"), submitted("r2", last_name="Served", caller="backend")
    waiting = enqueued(one)
    cut, again = submitted("cut"), submitted("again")  # both will have lost their first events
    afternoon = NOON.replace(hour=15)
    await log.append([cut, again, cancelled(cut, time=afternoon), cancelled(again, time=afternoon)])
    assert await log.delete_before(Topic.RTE, NOON.replace(hour=14)) == 2
    await log.append([submitted("again", time=afternoon)])
    await log.append([one, two, waiting, started(waiting), cancelled(two)])
    before = await views(log)
    assert before[2] == {one.data.question.person_key(T1)}  # type: ignore[union-attr] # it was submitted
    await log.close()
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as file:
        file.execute("DROP TABLE requests")
    progress: list[tuple[int, int]] = []
    log = await open_sqlite(sealer=sealer, progress=lambda done, end: progress.append((done, end)))
    assert await views(log) == before
    assert progress == [(10, 10)]
    assert await log.append([enqueued(two)]) == [None]
    await log.close()
    log = await open_sqlite(sealer=sealer, progress=lambda done, end: progress.append((done, end)))
    assert len(progress) == 1  # a start does not do it again
    await log.close()
