"""A disk, a file or a key that is not as it should be: a clear message, and nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bus.clock import SystemClock
from bus.errors import LogCorrupt, LogUnavailable
from bus.events import Topic
from bus.sealing import TenantSealer
from bus.sqlite.faults import fault
from bus.sqlite.log import SqliteLog
from bus.sqlite.schema import set_up
from tests.bus.conftest import OpenSqlite, completed, enqueued, scheduled, started, submitted


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:  # the test's own folder is made before
    """For a while this process is no user whom permissions do not bind."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.fixture
def folder(unprivileged: None) -> Iterator[Path]:
    """A folder of that user's own; its permissions are the test's to change."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
        Path(name).chmod(0o755)


@pytest.fixture
def read_only_folder(folder: Path) -> Path:
    folder.chmod(0o555)
    return folder


def bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def limit_pages(log: SqliteLog, pages: int) -> None:
    await log._writer.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())


async def test_a_full_disk_refuses_appends_until_there_is_space_again(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    log = await open_sqlite()
    await log.append([submitted("r0")])
    await limit_pages(log, 1)  # SQLite takes it as: no more than now
    appends = [log.append([submitted(f"r{number}")]) for number in range(1, 300)]
    results = [await asyncio.gather(append, return_exceptions=True) for append in appends]
    errors = [result for (result,) in results if isinstance(result, BaseException)]
    assert errors and {str(error) for error in errors} == {
        f"The disk that holds {tmp_path}/log.sqlite is full: free some space."
    }
    assert all(isinstance(error, LogUnavailable) for error in errors)
    kept = 300 - len(errors)
    assert len(await log.read(Topic.RTE, after=0, limit=1_000)) == kept
    await limit_pages(log, 1_000_000)
    (recorded,) = await log.append([submitted("late")])
    assert recorded and recorded.position == kept + 1
    await log.close()
    log = await open_sqlite()
    assert len(await log.read(Topic.RTE, after=0, limit=1_000)) == kept + 1
    await log.close()


async def test_a_folder_that_may_not_be_written_is_named(read_only_folder: Path, open_sqlite: OpenSqlite) -> None:
    with pytest.raises(LogUnavailable, match=rf"{read_only_folder}.*right to write the folder"):
        await open_sqlite(read_only_folder / "log.sqlite")
    with pytest.raises(LogUnavailable, match=rf"{read_only_folder}/new cannot be made"):
        await open_sqlite(read_only_folder / "new" / "log.sqlite")


async def test_a_file_that_may_not_be_written_is_named(folder: Path, open_sqlite: OpenSqlite) -> None:
    path = folder / "log.sqlite"
    await (await open_sqlite(path)).close()
    path.chmod(0o444)
    with pytest.raises(LogUnavailable, match=rf"{path} may not be written: give"):
        await open_sqlite(path)
    path.chmod(0o644)
    await (await open_sqlite(path)).close()


async def test_a_file_that_is_no_database_is_left_alone(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    path.write_bytes(b"shopping list " * 500)
    with pytest.raises(LogCorrupt, match=r"log\.sqlite is damaged or no log of Covey: restore it"):
        await open_sqlite()
    assert path.read_bytes() == b"shopping list " * 500


async def test_another_programs_database_is_left_alone(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as file:
        file.execute("CREATE TABLE recipes (name)")
    with pytest.raises(LogCorrupt, match=r"log\.sqlite is an SQLite file of another program"):
        await open_sqlite()


async def test_a_log_of_a_newer_format_is_refused(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    await (await open_sqlite()).close()
    with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as file:
        file.execute("UPDATE meta SET value = 2 WHERE name = 'format'")
    with pytest.raises(LogCorrupt, match=r"log\.sqlite has format 2; this version of Covey reads 1"):
        await open_sqlite()
    with pytest.raises(LogCorrupt):
        await SqliteLog.open_for_reading(tmp_path / "log.sqlite", clock=SystemClock())


async def test_a_log_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match=r"none\.sqlite cannot be opened"):
        await SqliteLog.open_for_reading(tmp_path / "none.sqlite", clock=SystemClock())


async def test_a_damaged_page_is_found_where_it_is_read(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    log = await open_sqlite()
    await log.append([submitted(f"r{number}") for number in range(200)])
    await log.close()
    whole = path.read_bytes()
    middle = len(whole) // 2 // 4096 * 4096
    path.write_bytes(whole[:middle] + b"\xff" * 16_384 + whole[middle + 16_384 :])
    log = await open_sqlite()
    with pytest.raises(LogCorrupt, match=r"log\.sqlite is damaged"):
        await log.read(Topic.RTE, after=0, limit=1_000)
    await log.close()


@pytest.mark.parametrize("statement", ["UPDATE events SET data = x'7b'", "UPDATE events SET type = 'rte.unheard_of'"])
async def test_an_event_that_cannot_be_read_is_told_by_its_position(
    open_sqlite: OpenSqlite, tmp_path: Path, statement: str
) -> None:
    log = await open_sqlite()
    await log.append([submitted()])
    await log.close()
    with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as file:
        file.execute(statement)
    log = await open_sqlite()
    with pytest.raises(LogCorrupt, match="position 1: the event cannot be read") as caught:
        await log.read(Topic.RTE, after=0, limit=1)
    assert "Rivera" not in str(caught.value)
    await log.close()


async def test_health_data_is_not_in_the_files_when_a_key_is_set(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    log = await open_sqlite(sealer=TenantSealer(b"k" * 32))
    first = submitted(last_name="Distinctive")
    waiting = enqueued(first)
    calling = started(scheduled(waiting))
    await log.append([first, waiting, scheduled(waiting), calling, completed(calling, plan_name="Unmistakable")])
    files = bytes_in(tmp_path)
    assert b"Distinctive" not in files and b"Unmistakable" not in files
    await log.close()


async def test_a_log_is_opened_with_the_key_that_it_was_written_with(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    plain = await open_sqlite()
    await plain.append([submitted("r1")])
    await plain.close()
    sealed = await open_sqlite(sealer=TenantSealer(b"k" * 32))  # from now on with a key
    await sealed.append([submitted("r2")])
    assert [one.event.subject for one in await sealed.read(Topic.RTE, after=0, limit=9)] == ["r1", "r2"]
    await sealed.close()
    with pytest.raises(LogCorrupt, match=r"log\.sqlite: .* another data key"):
        await open_sqlite(sealer=TenantSealer(b"K" * 32))
    with pytest.raises(LogCorrupt, match=r"log\.sqlite: .*set the data key"):
        await open_sqlite()
    again = await open_sqlite(sealer=TenantSealer(b"k" * 32))
    assert len(await again.read(Topic.RTE, after=0, limit=9)) == 2
    await again.close()


async def test_data_that_was_swapped_between_tenants_is_refused(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    log = await open_sqlite(sealer=TenantSealer(b"k" * 32))
    await log.append([submitted("r1")])
    await log.close()
    with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as file:
        file.execute("UPDATE events SET tenant = 't2'")
    log = await open_sqlite(sealer=TenantSealer(b"k" * 32))
    with pytest.raises(LogCorrupt, match=r"position 1: .* altered"):
        await log.read(Topic.RTE, after=0, limit=1)
    await log.close()


def test_any_other_trouble_is_for_a_later_time() -> None:
    assert isinstance(fault(sqlite3.OperationalError("disk I/O error"), Path("log.sqlite")), LogUnavailable)


def test_a_disk_that_cannot_hold_a_log_is_told_by_its_lack() -> None:
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(LogUnavailable, match=r"log\.sqlite is on a disk without shared memory or locks"),
    ):
        set_up(connection, Path("log.sqlite"))


async def test_deleting_that_fails_is_told_and_hinders_no_append(open_sqlite: OpenSqlite) -> None:
    log = await open_sqlite()
    await log.append([submitted()])
    await log._writer.run(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())
    with pytest.raises(LogUnavailable):
        await log.append([submitted("r2")])
    with pytest.raises(LogUnavailable):
        await log.delete_before(Topic.RTE, submitted().time)
    await log._writer.run(lambda connection: connection.execute("PRAGMA query_only = OFF").fetchall())
    assert (await log.append([submitted("r2")]))[0]
    await log.close()


async def test_a_failure_that_nobody_waits_for_any_more_is_let_be(open_sqlite: OpenSqlite) -> None:
    log = await open_sqlite()
    await log._writer.run(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())
    gone = asyncio.create_task(log.append([submitted()]), name="gone")
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(LogUnavailable):
        await log.append([submitted("r2")])
    assert gone.cancelled()
    await log.close()
