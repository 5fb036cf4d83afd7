"""The SQLite file behind the coverage cache: disposable, so whatever is wrong with it, it is made anew."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from bus.errors import CoveyError
from bus.ids import TenantId
from bus.owner_only import keep_private
from bus.sealing import Sealer
from bus.sqlite.look import looking_at, tables
from warming.errors import CacheUnavailable

_LOG: Final = structlog.get_logger(__name__)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA: Final = """
    CREATE TABLE coverage (
        tenant_id    TEXT NOT NULL,
        question_key TEXT NOT NULL,
        obtained_at  INTEGER NOT NULL,  -- microseconds since 1970, UTC
        body         BLOB NOT NULL,
        PRIMARY KEY (tenant_id, question_key)
    ) WITHOUT ROWID;
    CREATE INDEX coverage_oldest_first ON coverage (obtained_at, tenant_id, question_key);
    CREATE TABLE origin (format INTEGER NOT NULL, epoch TEXT NOT NULL, probe BLOB NOT NULL);
    CREATE TABLE progress (position INTEGER NOT NULL);
    INSERT INTO progress VALUES (0);
"""
# NORMAL never corrupts the file; it may forget the last rows at a power cut, which the log still holds.
_PRAGMAS: Final = "PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;"
_FORMAT: Final = 1
_PROBED: Final = TenantId("")
_PROBE: Final = b"covey"
"""Kept sealed in the file, in the name of no tenant: tells whether it was made under the present key."""
_SELECT_BODY: Final = "SELECT body FROM coverage WHERE tenant_id = ? AND question_key = ?"
_DELETE_BEFORE: Final = "DELETE FROM coverage WHERE obtained_at < ? RETURNING tenant_id, question_key"
_DELETE_OLDEST: Final = """
    DELETE FROM coverage WHERE (tenant_id, question_key) IN (
        SELECT tenant_id, question_key FROM coverage ORDER BY obtained_at, tenant_id, question_key LIMIT ?
    ) RETURNING tenant_id, question_key
"""

Key = tuple[TenantId, str]
"""A tenant, and a question's key."""


class CoverageFile:
    """The rows, for one thread, their bodies sealed.

    A file that is unreadable, of another format, for the positions of another log (`epoch`) or under another key is
    thrown away; one of another program is not, which is CacheUnavailable. Every method may raise sqlite3.Error; the
    making of it and `start_anew` OSError too.
    """

    def __init__(self, path: Path, epoch: str, sealer: Sealer) -> None:
        self._path = path
        self._epoch = epoch
        self._sealer = sealer
        self._connection = self._open()
        self._incomplete = False
        self._count = int(self._connection.execute("SELECT count(*) FROM coverage").fetchone()[0])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside comes onto the disk together, or not at all."""
        count = self._count
        try:
            with self._connection:
                self._connection.execute("BEGIN")
                yield
        except BaseException:
            self._count = count
            raise

    def body(self, key: Key) -> bytes | None:
        """Raises LogCorrupt where it cannot be unsealed."""
        row = self._connection.execute(_SELECT_BODY, key).fetchone()
        return None if row is None else self._sealer.unseal(key[0], row[0])

    def keep(self, key: Key, obtained_at: datetime, body: bytes) -> bool:
        """Write the row unless a newer one is there; whether it was written."""
        new = self._connection.execute(_SELECT_BODY, key).fetchone() is None
        written = self._connection.execute(
            "INSERT INTO coverage VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET obtained_at = excluded.obtained_at, body = excluded.body WHERE obtained_at <= excluded.obtained_at",
            (*key, _microseconds(obtained_at), self._sealer.seal(key[0], body)),
        ).rowcount
        self._count += new
        return written > 0

    def shrink(self, capacity: int) -> frozenset[Key]:
        """Delete the least recently obtained rows over `capacity`; which went."""
        if self._count <= capacity:
            return frozenset()
        return self._delete(_DELETE_OLDEST, self._count - capacity)

    def delete_before(self, time: datetime) -> frozenset[Key]:
        """Delete what was obtained before `time`, from the disk too; which went."""
        gone = self._delete(_DELETE_BEFORE, _microseconds(time))
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def position(self) -> int:
        return int(self._connection.execute("SELECT position FROM progress").fetchone()[0])

    def advance(self, position: int) -> None:
        """Note how far the log was read; not once the file was thrown away while running, until the next start."""
        if self._incomplete:
            return
        self._connection.execute("UPDATE progress SET position = max(position, ?)", (position,))

    def start_anew(self) -> None:
        """The file turned out damaged: throw it away and go on with an empty one."""
        self.close()
        self._connection = self._create("damaged")
        self._count = 0
        self._incomplete = True

    def close(self) -> None:
        self._connection.close()

    def _delete(self, statement: str, argument: int) -> frozenset[Key]:
        rows = self._connection.execute(statement, (argument,)).fetchall()
        self._count -= len(rows)
        return frozenset((TenantId(tenant_id), question_key) for tenant_id, question_key in rows)

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            return self._create(None)
        self._refuse_of_another_program()
        keep_private(self._path)
        reason = "unreadable"
        connection = self._connect()
        with contextlib.suppress(sqlite3.DatabaseError, CoveyError):
            connection.executescript(_PRAGMAS)
            format_, epoch, probe = connection.execute("SELECT format, epoch, probe FROM origin").fetchone()
            reason = "made for another log, key or version"
            if (format_, epoch) == (_FORMAT, self._epoch) and self._sealed_alike(probe):
                return connection
        connection.close()
        return self._create(reason)

    def _refuse_of_another_program(self) -> None:
        with contextlib.suppress(sqlite3.DatabaseError), looking_at(self._path) as connection:
            found = tables(connection)
            if found and "coverage" not in found:
                raise CacheUnavailable(
                    f"{self._path} is an SQLite file of another program: move it away, or use another data folder."
                )

    def _sealed_alike(self, probe: bytes) -> bool:
        """Whether the file's bodies can be unsealed now, and none that should be sealed lies there in the clear."""
        was_sealed, is_sealed = probe != _PROBE, self._sealer.seal(_PROBED, _PROBE) != _PROBE
        return was_sealed == is_sealed and self._sealer.unseal(_PROBED, probe) == _PROBE

    def _create(self, reason: str | None) -> sqlite3.Connection:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).unlink()
        if reason is not None:
            _LOG.warning("coverage_cache_rebuilt", file=self._path.name, reason=reason)
        keep_private(self._path)
        connection = self._connect()
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_PRAGMAS + _SCHEMA)
        probe = self._sealer.seal(_PROBED, _PROBE)
        connection.execute("INSERT INTO origin VALUES (?, ?, ?)", (_FORMAT, self._epoch, probe))
        return connection

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
