"""What SQLite's errors mean for whoever runs the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.errors import CoveyError, LogCorrupt, LogUnavailable


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about this file into the bus's own."""
    try:
        yield
    except sqlite3.Error as error:
        raise fault(error, path) from error


def fault(error: sqlite3.Error, path: Path) -> CoveyError:
    """LogCorrupt or LogUnavailable, with a message that names the file and the cure."""
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF:  # the low byte is the primary code
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_SCHEMA | sqlite3.SQLITE_ERROR:
            return LogCorrupt(
                f"{path} is damaged or no log of Covey: restore it from a copy, or move it away to start afresh."
            )
        case sqlite3.SQLITE_FULL:
            return LogUnavailable(f"The disk that holds {path} is full: free some space.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            return LogUnavailable(
                f"{path} cannot be opened: see that it is there and that this user may write it and its folder."
            )
        case _:
            return LogUnavailable(
                f"{path} cannot be read or written now ({error}): see that its disk works and has room."
            )
