"""Looking into an SQLite file before anything could change it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def looking_at(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that leaves the file, and its write-ahead log, byte for byte as they are. Raises sqlite3.Error.

    An ordinary one would roll back what another program left half-way, and write back what that one left in a
    write-ahead log. For a file that nobody else writes now.
    """
    # Without a write-ahead log SQLite need not look beside the file; with one, tables may be in that alone.
    alone = not path.with_name(f"{path.name}-wal").exists()
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
        yield connection


def tables(connection: sqlite3.Connection) -> frozenset[str]:
    """The names of the file's tables."""
    return frozenset(name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"))
