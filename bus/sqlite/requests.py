"""The views of requests and calls in the SQLite log: written with the events, and made anew from them if need be."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Final

from bus.calls import ended_call
from bus.events import Event, EventType, Recorded, Started, Submitted
from bus.fold import RequestStatus
from bus.sqlite.rows import EventRows, Row, to_microseconds
from bus.sqlite.schema import VIEW_INDEXES, VIEW_TABLES, VIEWS_FORMAT, run_script, set_meta, transaction

Progress = Callable[[int, int], None]
"""Told how many positions of how many have been read."""

_STATUS_OF: Final = {
    EventType.ENQUEUED: RequestStatus.ENQUEUED,
    EventType.SCHEDULED: RequestStatus.SCHEDULED,
    EventType.STARTED: RequestStatus.STARTED,
    EventType.COMPLETED: RequestStatus.COMPLETED,
    EventType.FAILED: RequestStatus.FAILED,
    EventType.TIMEOUT: RequestStatus.TIMEOUT,
    EventType.CANCELLED: RequestStatus.CANCELLED,
}
"""What `bus.fold.fold` makes of them; after the first event, any other leaves the status as it is."""
_NONE: Final = 0
_ENDED: Final = -1
_REBUILD_CHUNK_EVENTS: Final = 5_000
_ROWS_A_STATEMENT: Final = 64
"""Few large statements: each lets go of the interpreter, and a busy event loop gives it back late."""

_UPSERT_REQUESTS: Final = """
INSERT INTO requests VALUES {rows} ON CONFLICT (id) DO UPDATE SET
    status = CASE WHEN excluded.status = '' THEN status ELSE excluded.status END,
    sequence = excluded.sequence,
    open = excluded.open,
    submitted_at = CASE WHEN position IS NULL THEN excluded.submitted_at ELSE submitted_at END,
    position = coalesce(position, excluded.position)
"""
_UPSERT_CALLS: Final = """
INSERT INTO calls VALUES {rows} ON CONFLICT (id) DO UPDATE SET
    ended = max(ended, excluded.ended),
    position = CASE WHEN excluded.lease_expires_at > lease_expires_at THEN excluded.position ELSE position END,
    lease_expires_at = max(lease_expires_at, excluded.lease_expires_at)
"""
_INSERT_EVENTS: Final = "INSERT INTO events VALUES {rows}"


class Standing:
    """Where the requests of a group of events stand: `bus.fold.accepts`, told by sequence numbers alone."""

    def __init__(self, connection: sqlite3.Connection, events: Iterable[Event]) -> None:
        ids = {event.subject for event in events if event.sequence is not None}
        (found,) = connection.execute(
            "SELECT json_group_object(id, CASE WHEN open THEN sequence ELSE ? END)"
            " FROM requests WHERE id IN (SELECT value FROM json_each(?))",
            (_ENDED, json.dumps(list(ids))),
        ).fetchone()
        self._sequences: dict[str, int] = json.loads(found)

    def accept(self, event: Event) -> bool:
        """Whether the event counts, coming next; if so, the next one is judged by it."""
        if event.sequence is None:
            return True
        stands_at = self._sequences.get(event.subject, _NONE)
        if stands_at == _ENDED or event.sequence != stands_at + 1:
            return False
        if stands_at == _NONE and not isinstance(event.data, Submitted):
            return False
        self._sequences[event.subject] = _ENDED if event.terminal else event.sequence
        return True


def insert_events(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Write whole rows of the table."""
    _insert(connection, _INSERT_EVENTS, rows)


def record(connection: sqlite3.Connection, written: Sequence[Recorded]) -> None:
    """Bring the views up to date with accepted events, in the transaction that writes these."""
    requests: dict[str, Row] = {}
    for one in written:
        if one.event.sequence is not None:
            requests[one.event.subject] = _request(one, requests.get(one.event.subject))
    _insert(connection, _UPSERT_REQUESTS, list(requests.values()))
    _insert(connection, _UPSERT_CALLS, [row for one in written for row in _calls(one)])


def rebuild(connection: sqlite3.Connection, rows: EventRows, progress: Progress | None = None) -> None:
    """Make the views anew from all events, some at a time; broken off, it is done again from the start."""
    set_meta(connection, "views", 0)
    run_script(connection, VIEW_TABLES)
    (end,) = connection.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()
    position = 0
    while chunk := connection.execute(
        "SELECT * FROM events WHERE position > ? ORDER BY position LIMIT ?",
        (position, _REBUILD_CHUNK_EVENTS),
    ).fetchall():
        with transaction(connection):
            record(connection, [rows.recorded(row) for row in chunk])
        position = chunk[-1][0]
        if progress is not None:
            progress(position, end)
    with transaction(connection):
        connection.execute("DELETE FROM requests WHERE position IS NULL")  # their first events were deleted
        run_script(connection, VIEW_INDEXES)
        set_meta(connection, "views", VIEWS_FORMAT)


def _request(recorded: Recorded, before: Row | None) -> Row:
    """A row of `requests`, after the one that earlier events of the same group make; where the table knows the request
    already, only its last three columns count.

    Without a position, where the first event is gone: only a rebuild meets such.
    """
    event = recorded.event
    progress = (event.sequence, not event.terminal)
    if event.sequence == 1:  # also of an id that was used before, whose first events were deleted
        return (*_submission(recorded, recorded.position), RequestStatus.SUBMITTED, *progress)
    status = _STATUS_OF.get(event.type, "")
    if before is None:
        return (*_submission(recorded, None), status, *progress)
    *submission, status_before, _, _ = before
    return (*submission, status or status_before, *progress)


def _submission(recorded: Recorded, position: int | None) -> Row:
    event = recorded.event
    return event.subject, event.tenant_id, event.member_id, to_microseconds(event.time), position


def _calls(recorded: Recorded) -> Iterable[Row]:
    """Rows of `calls` for what the event tells of them."""
    data = recorded.event.data
    if isinstance(data, Started):
        yield data.call_id, recorded.position, to_microseconds(data.lease_expires_at), False
    call_id = ended_call(data)
    if call_id is not None:
        yield call_id, recorded.position, 0, True


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> None:
    for first in range(0, len(rows), _ROWS_A_STATEMENT):
        batch = rows[first : first + _ROWS_A_STATEMENT]
        connection.execute(_sized(statement, len(batch), len(batch[0])), [value for row in batch for value in row])


@cache  # at most _ROWS_A_STATEMENT sizes of each statement
def _sized(statement: str, rows: int, columns: int) -> str:
    row = "(" + ",".join("?" * columns) + ")"
    return statement.format(rows=",".join([row] * rows))
