"""A file that is no log is left byte for byte as it was, whatever its program left half-way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bus.clock import SystemClock
from bus.errors import LogCorrupt
from bus.metrics import Metrics
from bus.sqlite.log import SqliteLog
from tests.bus.conftest import NOON, OpenSqlite, submitted

_KILLED = """
import os, signal, sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    file.execute(statement)
os.kill(os.getpid(), signal.SIGKILL)
"""
IN_WAL = ("PRAGMA journal_mode = WAL", "CREATE TABLE recipes (name)", "INSERT INTO recipes VALUES ('soup')")
HALF_WRITTEN = (
    "CREATE TABLE recipes (name)",
    "INSERT INTO recipes WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) SELECT i FROM n",
    "PRAGMA cache_size = 1",
    "BEGIN",
    "UPDATE recipes SET name = name || ' soup'",
)
OF_A_NEWER_FORMAT = ("PRAGMA wal_autocheckpoint = 0", "UPDATE meta SET value = 7 WHERE name = 'format'")


def killed_while_writing(path: Path, *statements: str) -> None:
    """Another program runs the statements and is killed."""
    subprocess.run([sys.executable, "-c", _KILLED, str(path), *statements], check=False)


def kept(folder: Path) -> dict[str, bytes]:
    """What the files hold; the shared memory beside a write-ahead log is an index of it, and holds nothing."""
    passing = (".lock", "-shm")
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(passing)}


async def opened(path: Path) -> SqliteLog:
    return await SqliteLog.open(path, clock=SystemClock(), new_epoch=lambda: "epoch1", metrics=Metrics())


@pytest.mark.parametrize("statements", [IN_WAL[1:], IN_WAL, HALF_WRITTEN], ids=["ended", "in its log", "half-way"])
async def test_another_programs_file_is_refused_and_not_changed(tmp_path: Path, statements: tuple[str, ...]) -> None:
    path = tmp_path / "log.sqlite"
    killed_while_writing(path, *statements)
    before = kept(tmp_path)
    assert len(before) == (1 if statements == IN_WAL[1:] else 2)
    with pytest.raises(LogCorrupt, match="another program"):
        await opened(path)
    assert kept(tmp_path) == before


async def test_a_log_of_a_newer_version_that_was_killed_is_not_changed(open_sqlite: OpenSqlite, tmp_path: Path) -> None:
    log = await open_sqlite()
    await log.append([submitted()])
    await log.close()
    path = tmp_path / "log.sqlite"
    killed_while_writing(path, *OF_A_NEWER_FORMAT)
    before = kept(tmp_path)
    assert set(before) == {"log.sqlite", "log.sqlite-wal"}
    with pytest.raises(LogCorrupt, match="has format 7"):
        await opened(path)
    assert kept(tmp_path) == before


async def test_a_start_that_was_killed_before_its_first_table_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    killed_while_writing(path, "PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = WAL")
    log = await opened(path)
    (recorded,) = await log.append([submitted(time=NOON)])
    await log.close()
    assert recorded is not None and recorded.position == 1
