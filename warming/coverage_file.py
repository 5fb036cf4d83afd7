"""The SQLite file behind the coverage cache: disposable, so whatever is wrong with it, it is made anew."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from bus.ids import TenantId

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
    CREATE TABLE origin (format INTEGER NOT NULL, epoch TEXT NOT NULL, sealed INTEGER NOT NULL);
    CREATE TABLE progress (position INTEGER NOT NULL);
    INSERT INTO progress VALUES (0);
"""

Key = tuple[TenantId, str]
"""A tenant, and a question's key."""


class Origin(Struct, frozen=True, kw_only=True):
    """What a file must have been made for to be of use; another's is thrown away."""

    epoch: str
    """Of the log whose positions it counts in."""
    sealed: bool
    """Whether bodies are encrypted: what was written in the clear does not stay once a key is set."""
    format: int = 1


class CoverageFile:
    """The rows, for one thread. Every method may raise sqlite3.Error, except the making of it."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self._path = path
        self._origin = origin
        self._connection, self.started_anew = self._open()
        self._count = int(self._connection.execute("SELECT count(*) FROM coverage").fetchone()[0])

    def body(self, key: Key) -> bytes | None:
        row = self._connection.execute(
            "SELECT body FROM coverage WHERE tenant_id = ? AND question_key = ?", key
        ).fetchone()
        return None if row is None else bytes(row[0])

    def keep(self, key: Key, obtained_at: datetime, body: bytes) -> bool:
        """Write the row unless a newer one is there; whether it was written."""
        new = self.body(key) is None
        written = self._connection.execute(
            "INSERT INTO coverage VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET obtained_at = excluded.obtained_at, body = excluded.body WHERE obtained_at <= excluded.obtained_at",
            (*key, _microseconds(obtained_at), body),
        ).rowcount
        self._count += new
        return written > 0

    def shrink(self, capacity: int) -> frozenset[Key]:
        """Delete the least recently obtained rows over `capacity`; which went."""
        if self._count <= capacity:
            return frozenset()
        return self._delete(
            "SELECT tenant_id, question_key FROM coverage ORDER BY obtained_at, tenant_id, question_key LIMIT ?",
            self._count - capacity,
        )

    def delete_before(self, time: datetime) -> frozenset[Key]:
        """Delete what was obtained before `time`, from the disk too; which went."""
        gone = self._delete("SELECT tenant_id, question_key FROM coverage WHERE obtained_at < ?", _microseconds(time))
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def position(self) -> int:
        return int(self._connection.execute("SELECT position FROM progress").fetchone()[0])

    def advance(self, position: int) -> None:
        self._connection.execute("UPDATE progress SET position = max(position, ?)", (position,))

    def start_anew(self, reason: str) -> None:
        """Throw the file away and go on with an empty one."""
        self.close()
        self._connection, self._count, self.started_anew = self._create(reason), 0, True

    def close(self) -> None:
        self._connection.close()

    def _delete(self, chosen: str, argument: int) -> frozenset[Key]:
        rows = self._connection.execute(
            f"DELETE FROM coverage WHERE (tenant_id, question_key) IN ({chosen}) RETURNING tenant_id, question_key",  # noqa: S608 - `chosen` is one of the two texts above
            (argument,),
        ).fetchall()
        self._count -= len(rows)
        return frozenset((TenantId(tenant_id), question_key) for tenant_id, question_key in rows)

    def _open(self) -> tuple[sqlite3.Connection, bool]:
        """The file as it is, or a new one; and whether it is new."""
        if not self._path.exists():
            return self._create(None), True
        connection = self._connect()
        try:
            found = connection.execute("SELECT format, epoch, sealed FROM origin").fetchone()
        except sqlite3.DatabaseError:
            reason = "unreadable"
        else:
            if found == (self._origin.format, self._origin.epoch, self._origin.sealed):
                return connection, False
            reason = "made for another log, key or version"
        connection.close()
        return self._create(reason), True

    def _create(self, reason: str | None) -> sqlite3.Connection:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).unlink()
        if reason is not None:
            _LOG.warning("coverage_cache_rebuilt", file=self._path.name, reason=reason)
        connection = self._connect()
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        connection.execute(
            "INSERT INTO origin VALUES (?, ?, ?)", (self._origin.format, self._origin.epoch, self._origin.sealed)
        )
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        # NORMAL never corrupts the file; it may forget the last rows at a power cut, which the log still holds.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")
        return connection


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
