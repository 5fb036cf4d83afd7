"""Whether an event could be written now, found out by writing something of its size."""

from __future__ import annotations

import sqlite3
from typing import Final

from bus.sqlite.schema import meta, set_meta, transaction

_BYTES: Final = 32 * 1024
"""About what an event changes: its own page, and one of each index and view."""
_NAMES: Final = ("trial 0", "trial 1")


def write_trial(connection: sqlite3.Connection) -> None:
    """Write so much to the disk, and raise what SQLite raises where that fails.

    Changing a word in its place would prove nothing: a full disk still has that page, and its copy in the write-ahead
    log often fits where an earlier one was. So each trial takes new pages before it gives those of the last one back.
    """
    first, second = _NAMES
    new, old = (second, first) if meta(connection, first) is not None else (first, second)
    with transaction(connection):
        set_meta(connection, new, bytes(_BYTES))
        connection.execute("DELETE FROM meta WHERE name = ?", (old,))
