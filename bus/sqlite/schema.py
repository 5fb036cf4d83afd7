"""The tables of the SQLite log, and the words about itself that the file carries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bus.errors import LogCorrupt, LogUnavailable
from bus.events import Topic
from bus.ids import NewId, TenantId
from bus.sealing import Sealer
from bus.sqlite.look import looking_at, tables

FORMAT: Final = 1
"""Of the events; a file of a newer one is refused."""
VIEWS_FORMAT: Final = 1
"""Of the views; those of any other are made anew from the events."""

EVENT_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE events (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    topic       TEXT    NOT NULL,
    type        TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    time        INTEGER NOT NULL,
    tenant      TEXT,
    member      TEXT,
    sequence    INTEGER,
    attempt     INTEGER,
    traceparent TEXT,
    data        BLOB    NOT NULL
);
CREATE INDEX events_of_request ON events (subject) WHERE sequence IS NOT NULL;
CREATE INDEX events_of_member ON events (tenant, member) WHERE member IS NOT NULL;
CREATE INDEX events_of_payer ON events (subject) WHERE topic = 'payer.events';
"""
VIEW_TABLES: Final = """
DROP TABLE IF EXISTS requests;
DROP TABLE IF EXISTS calls;
CREATE TABLE requests (
    id           TEXT    PRIMARY KEY,
    tenant       TEXT    NOT NULL,
    member       TEXT    NOT NULL,
    submitted_at INTEGER NOT NULL,
    position     INTEGER,
    status       TEXT    NOT NULL,
    sequence     INTEGER NOT NULL,
    open         INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE calls (
    id               TEXT    PRIMARY KEY,
    position         INTEGER NOT NULL,
    lease_expires_at INTEGER NOT NULL,
    ended            INTEGER NOT NULL
) WITHOUT ROWID;
"""
"""`position` is that of the `rte.submitted`, or of the `rte.started` with the last lease."""
VIEW_INDEXES: Final = """
CREATE INDEX requests_of_tenant ON requests (tenant, position);
CREATE INDEX requests_of_member ON requests (tenant, member, position);
CREATE INDEX requests_open ON requests (position) WHERE open;
CREATE INDEX calls_leased ON calls (lease_expires_at) WHERE NOT ended;
"""

_KEY_CHECK: Final = b"covey"
_NOBODY: Final = TenantId("")


def connect_to_write(path: Path) -> sqlite3.Connection:
    """The one connection that writes; to be set up next."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=1)


def set_up(connection: sqlite3.Connection, path: Path) -> None:
    """Have what is committed on the disk, and what is deleted overwritten and given back."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only while there are no tables
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA cache_size = -16000")  # KiB
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise LogUnavailable(f"{path} is on a disk without shared memory or locks: use a folder on a local disk.")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write; it sees what was committed when each statement begins."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself gives up some that fail
            connection.execute("ROLLBACK")
        raise


def look(path: Path, sealer: Sealer) -> None:
    """See, without changing anything, that the file is missing or empty, or a log that this version can read with this
    key.

    Raises LogCorrupt with the cure, sqlite3.Error.
    """
    if not path.exists():
        return
    with looking_at(path) as connection:
        if tables(connection):
            check(connection, path, sealer)


def prepare(connection: sqlite3.Connection, path: Path, new_epoch: NewId, sealer: Sealer) -> None:
    """Set up a file that was looked at, and make the tables in an empty one. Raises LogUnavailable, sqlite3.Error."""
    set_up(connection, path)
    is_new = not tables(connection)
    with transaction(connection):
        if is_new:
            _create(connection, new_epoch())
        if meta(connection, "key check") in {None, _KEY_CHECK}:  # new, or kept without a key until now
            set_meta(connection, "key check", sealer.seal(_NOBODY, _KEY_CHECK))


def check(connection: sqlite3.Connection, path: Path, sealer: Sealer) -> None:
    """See that the file is a log that this version and this key can read; raises LogCorrupt with the cure."""
    if not {"meta", "events"} <= tables(connection):
        raise LogCorrupt(f"{path} is an SQLite file of another program: name another file.")
    found = meta(connection, "format")
    if found != FORMAT:
        raise LogCorrupt(
            f"{path} has format {found!r}; this version of Covey reads {FORMAT}: use the version that wrote it, "
            "or move the file away to start afresh."
        )
    key_check = meta(connection, "key check")
    if isinstance(key_check, bytes):
        try:
            sealer.unseal(_NOBODY, key_check)
        except LogCorrupt as error:
            raise LogCorrupt(f"{path}: {error}") from error


def meta(connection: sqlite3.Connection, name: str) -> int | str | bytes | None:
    """A word of the file about itself."""
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if found is None else found[0]


def set_meta(connection: sqlite3.Connection, name: str, value: int | str | bytes) -> None:
    """Note or change such a word."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def touch(connection: sqlite3.Connection) -> None:
    """Change a word that nobody reads: whether that goes onto the disk tells whether anything would."""
    connection.execute("INSERT INTO meta VALUES ('touched', 0) ON CONFLICT (name) DO UPDATE SET value = 1 - value")


def floor(connection: sqlite3.Connection, topic: Topic) -> int:
    """The position up to which events of the topic may have been deleted."""
    found = meta(connection, f"floor {topic}")
    return found if isinstance(found, int) else 0


def set_floor(connection: sqlite3.Connection, topic: Topic, position: int) -> None:
    """Note that events up to there were deleted."""
    set_meta(connection, f"floor {topic}", position)


def last_position(connection: sqlite3.Connection) -> int:
    """The newest position ever given, also if its event was deleted since."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 0 if found is None else int(found[0])


def has_views(connection: sqlite3.Connection) -> bool:
    """Whether the views are there, whole, and of this version."""
    return {"requests", "calls"} <= tables(connection) and meta(connection, "views") == VIEWS_FORMAT


def _create(connection: sqlite3.Connection, epoch: str) -> None:
    run_script(connection, EVENT_TABLES + VIEW_TABLES + VIEW_INDEXES)
    set_meta(connection, "format", FORMAT)
    set_meta(connection, "views", VIEWS_FORMAT)
    set_meta(connection, "epoch", epoch)


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run statements inside the transaction under way (`executescript` would commit it first)."""
    for statement in script.split(";\n"):
        connection.execute(statement)
