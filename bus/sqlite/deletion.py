"""Deleting old events from the SQLite log so that they leave the disk."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Final

from msgspec import Struct

from bus.events import Topic
from bus.sqlite.rows import to_microseconds
from bus.sqlite.schema import floor, set_floor, transaction

CHUNK_EVENTS: Final = 250
"""Deleted in one transaction: appends wait no longer than that takes."""
_CHUNK_PAGES: Final = 250

_FIRST_NOT_OLDER: Final = {
    Topic.RTE: "SELECT position FROM events NOT INDEXED"
    " WHERE topic = 'rte.events' AND time >= ? ORDER BY position LIMIT 1",
    Topic.PAYER: "SELECT position FROM events INDEXED BY events_of_payer"
    " WHERE topic = 'payer.events' AND time >= ? ORDER BY position LIMIT 1",
}
_DOOMED: Final = {
    Topic.RTE: """
SELECT event.position, subject, event.sequence
FROM events AS event NOT INDEXED
LEFT JOIN requests AS request ON request.id = subject AND event.sequence IS NOT NULL
WHERE topic = 'rte.events' AND event.position > ? AND event.position <= ? AND coalesce(open, 0) = 0
ORDER BY event.position LIMIT ?
""",
    Topic.PAYER: """
SELECT position, subject, sequence FROM events INDEXED BY events_of_payer
WHERE topic = 'payer.events' AND position > ? AND position <= ?
ORDER BY position LIMIT ?
""",
}


class Deleted(Struct, frozen=True, kw_only=True):
    """Events that went."""

    events: int
    last_position: int


def first_not_older(connection: sqlite3.Connection, topic: Topic, time: datetime) -> int | None:
    """The position of the topic's first event in log order that is not older than that; None if all are."""
    found = connection.execute(_FIRST_NOT_OLDER[topic], (to_microseconds(time),)).fetchone()
    return None if found is None else int(found[0])


def delete_chunk(connection: sqlite3.Connection, topic: Topic, after: int, through: int) -> Deleted | None:
    """Delete the oldest events of the topic between two positions, but none of a request that has not ended.

    None when nothing is left to delete.
    """
    with transaction(connection):
        doomed = connection.execute(_DOOMED[topic], (after, through, CHUNK_EVENTS)).fetchall()
        if not doomed:
            return None
        positions = json.dumps([position for position, _, _ in doomed])
        requests = json.dumps([subject for _, subject, sequence in doomed if sequence == 1])
        connection.execute("DELETE FROM events WHERE position IN (SELECT value FROM json_each(?))", (positions,))
        connection.execute("DELETE FROM requests WHERE id IN (SELECT value FROM json_each(?))", (requests,))
        last = doomed[-1][0]
        set_floor(connection, topic, max(last, floor(connection, topic)))
        return Deleted(events=len(doomed), last_position=last)


def delete_calls(connection: sqlite3.Connection, through: int) -> None:
    """Forget the calls whose events went."""
    connection.execute(
        "DELETE FROM calls WHERE position <= ?"
        " AND NOT EXISTS (SELECT 1 FROM events WHERE events.position = calls.position)",
        (through,),
    )


def give_back(connection: sqlite3.Connection) -> bool:
    """Cut some empty pages off the file; whether more are left."""
    connection.execute(f"PRAGMA incremental_vacuum({_CHUNK_PAGES})").fetchall()
    (left,) = connection.execute("PRAGMA freelist_count").fetchone()
    return bool(left)


def checkpoint(connection: sqlite3.Connection) -> None:
    """Move everything from the write-ahead log into the file and empty it.

    While somebody reads an older state, part of it stays until the next time.
    """
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
