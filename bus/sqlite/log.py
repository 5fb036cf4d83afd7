"""The durable log: one SQLite file, one process that writes it, synced before it answers."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Self

from bus.clock import Clock
from bus.ends import Ends
from bus.errors import CoveyError, LogUnavailable
from bus.events import Event, Recorded, Topic
from bus.file_lock import FileLock
from bus.ids import NewId, RequestId
from bus.metrics import Metrics
from bus.owner_only import keep_private
from bus.sealing import PlainSealer, Sealer
from bus.sqlite.deletion import checkpoint, delete_calls, delete_chunk, first_not_older, give_back
from bus.sqlite.faults import faults_of
from bus.sqlite.pool import SqlitePool
from bus.sqlite.reader import SqliteLogReader, end
from bus.sqlite.requests import Progress, rebuild
from bus.sqlite.rows import EventRows
from bus.sqlite.schema import connect_to_write, floor, has_views, last_position, look, meta, prepare
from bus.sqlite.writer import SqliteWriter, Written
from bus.tail import Tail

_TAIL_EVENTS: Final = 10_000
_TAIL_BYTES: Final = 16 * 1024 * 1024
_MEMBERS_REMEMBERED: Final = 10_000
_TRIAL_SECONDS: Final = 1.0
"""However often readiness is asked for, the disk pays for one trial in this time."""


class _Opened(NamedTuple):
    """A file that is ours to write, and how far it goes."""

    lock: FileLock
    connection: sqlite3.Connection
    epoch: str
    last_position: int
    ends: dict[Topic, int]
    floors: dict[Topic, int]


class SqliteLog(SqliteLogReader):
    """An `EventLog` and its `RequestView`. The newest events are read from memory, older ones from the file."""

    def __init__(self, path: Path, opened: _Opened, rows: EventRows, clock: Clock, metrics: Metrics) -> None:
        super().__init__(SqlitePool(path), rows, clock, opened.epoch, _MEMBERS_REMEMBERED)
        self._lock = opened.lock
        self._metrics = metrics
        self._floors = opened.floors
        self._ends = Ends(opened.ends)
        self._tail = Tail(self._ends, max_events=_TAIL_EVENTS, max_bytes=_TAIL_BYTES)
        self._trying = asyncio.Lock()
        self._tried_at = -_TRIAL_SECONDS
        self._writer = SqliteWriter(opened.connection, path, rows, opened.last_position, self._deliver)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        new_epoch: NewId,
        metrics: Metrics,
        sealer: Sealer | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Open the log for writing, made anew where there is none; its folder is made too.

        Views that are missing or of another version are made anew, which `progress` is told from a thread.
        Raises LogLocked, LogUnavailable or LogCorrupt.
        """
        sealer = sealer or PlainSealer()
        rows = EventRows(path, sealer)
        opened = await asyncio.to_thread(_open, path, new_epoch, sealer, rows, progress)
        return cls(path, opened, rows, clock, metrics)

    async def close(self) -> None:
        """Write what waits, refuse the rest, and let other processes have the file."""
        self._ends.close()
        await super().close()
        await self._writer.close()  # last, so that SQLite puts everything into the one file
        self._lock.release()

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:  # noqa: ARG002
        begun = self._clock.monotonic()
        results = await self._writer.append(events)
        self._metrics.append_seconds.observe(self._clock.monotonic() - begun)
        return results

    async def probe(self) -> CoveyError | None:
        """Why no event can be written now; None if one can. Asks the disk, or what it said within the last second.

        Raises LogUnavailable if closed.
        """
        async with self._trying:
            if self._clock.monotonic() - self._tried_at >= _TRIAL_SECONDS:
                await self._writer.try_out()
                self._tried_at = self._clock.monotonic()
        return self._writer.fault

    async def read(self, topic: Topic, *, after: int, limit: int) -> Sequence[Recorded]:
        held = self._tail.read(topic, after=after, limit=limit)
        return await super().read(topic, after=after, limit=limit) if held is None else held

    async def read_request(self, request_id: RequestId, *, after: int = 0) -> Sequence[Recorded]:
        held = self._tail.read_request(request_id)
        if held is None:
            return await super().read_request(request_id, after=after)
        return [recorded for recorded in held if recorded.position > after]

    def beginning(self, request_id: RequestId) -> Recorded | None:
        return self._tail.beginning(request_id)

    async def end(self, topic: Topic) -> int:
        return self._ends[topic]

    async def floor(self, topic: Topic) -> int:
        return self._floors[topic]

    async def wait_beyond(self, topic: Topic, position: int) -> None:
        await self._ends.wait_beyond(topic, position)

    async def delete_before(self, topic: Topic, time: datetime) -> int:
        """As the port says; some events at a time, so that appends go on in between."""
        first_kept = await self._pool.run(partial(first_not_older, topic=topic, time=time))
        through = self._ends[topic] if first_kept is None else first_kept - 1
        deleted = after = 0
        while chunk := await self._writer.run(partial(delete_chunk, topic=topic, after=after, through=through)):
            deleted += chunk.events
            after = chunk.last_position
            self._floors[topic] = max(self._floors[topic], after)
            self._tail.forget(topic, after)
        self._people.forget()
        await self._writer.run(partial(delete_calls, through=through))
        while await self._writer.run(give_back):
            pass
        await self._writer.run(checkpoint)
        return deleted

    def _deliver(self, written: Written) -> None:
        self._tail.extend(written.recorded, written.sizes)
        for recorded in written.recorded:
            self._people.note(recorded.event)
        self._ends.advance({recorded.event.topic: recorded.position for recorded in written.recorded})


def _open(path: Path, new_epoch: NewId, sealer: Sealer, rows: EventRows, progress: Progress | None) -> _Opened:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LogUnavailable(f"{path.parent} cannot be made ({error.strerror}): name another folder.") from error
    if path.exists() and not os.access(path, os.W_OK, effective_ids=True):  # SQLite would leave files beside it first
        raise LogUnavailable(f"{path} may not be written: give this user the right to write it.")
    with ExitStack() as undo, faults_of(path):
        lock = FileLock.acquire(path.with_name(f"{path.name}.lock"))
        undo.callback(lock.release)
        look(path, sealer)
        _made_private(path)
        connection = connect_to_write(path)
        undo.callback(connection.close)
        prepare(connection, path, new_epoch, sealer)
        if not has_views(connection):
            rebuild(connection, rows, progress)
        opened = _Opened(
            lock,
            connection,
            str(meta(connection, "epoch")),
            last_position(connection),
            {topic: end(connection, topic) for topic in Topic},
            {topic: floor(connection, topic) for topic in Topic},
        )
        undo.pop_all()
    return opened


def _made_private(path: Path) -> None:
    try:
        keep_private(path)
    except OSError as error:
        raise LogUnavailable(f"{path} cannot be made ({error.strerror}): look after its folder.") from error
