"""The one thread that writes the SQLite log: what waits is written together and synced once."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct

from bus.errors import CoveyError, LogUnavailable
from bus.events import Event, Recorded
from bus.sqlite.faults import faults_of
from bus.sqlite.requests import Standing, insert_events, record
from bus.sqlite.rows import EventRows, Row
from bus.sqlite.schema import touch, transaction
from bus.sqlite.trial import write_trial

_GROUP_JOBS: Final = 1_000
_WAITING_EVENTS: Final = 10_000

T = TypeVar("T")


class Append(Struct, eq=False):
    """Events on their way to the disk, their rows, and who waits for them."""

    events: Sequence[Event]
    rows: Sequence[Row]
    results: asyncio.Future[Sequence[Recorded | None]]


class Chore(Struct, eq=False):
    """Something else to be done by the writer, between two groups; it sees to its own transaction."""

    run: Callable[[sqlite3.Connection], Any]
    result: asyncio.Future[Any]


class Written(Struct, eq=False):
    """One group that is durable now."""

    appends: Sequence[Append]
    results: Sequence[Sequence[Recorded | None]]
    """As many as appends."""
    recorded: Sequence[Recorded]
    """What was accepted, in log order."""
    sizes: Sequence[int]
    """The bytes of data of each of `recorded`."""


class SqliteWriter:
    """Takes appends from the event loop and hands back whole groups with one call a group.

    `deliver` is called on the loop, before those who wait hear of it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        rows: EventRows,
        last_position: int,
        deliver: Callable[[Written], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._rows = rows
        self._last_position = last_position
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Append | Chore | None] = queue.SimpleQueue()
        self._waiting_events = 0
        self._closed = False
        self.fault: CoveyError | None = None
        """Why the newest write of an event, or the newest trial, failed; None if it did not."""
        self._thread = threading.Thread(target=self._work, name=f"log writer {path.name}", daemon=True)
        self._thread.start()

    async def append(self, events: Sequence[Event]) -> Sequence[Recorded | None]:
        """As `EventLog.append`. Raises LogUnavailable also where too many events wait already."""
        self._refuse_if_closed()
        if self._waiting_events + len(events) > _WAITING_EVENTS:
            raise LogUnavailable(f"{self._waiting_events} events wait to be written: try again later.")
        append = Append(events, [self._rows.row(event) for event in events], self._loop.create_future())
        self._waiting_events += len(events)
        self._queue.put(append)
        return await append.results

    async def run(self, chore: Callable[[sqlite3.Connection], T]) -> T:
        """Do something else with the writing connection, after what waits now."""
        self._refuse_if_closed()
        result: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(Chore(chore, result))
        return await result

    async def try_out(self) -> None:
        """Write as much as an event, and set `fault` accordingly. Raises LogUnavailable if closed."""
        try:
            await self.run(write_trial)
        except CoveyError as error:
            self._refuse_if_closed()
            self.fault = error
        else:
            self.fault = None

    async def close(self) -> None:
        """Write what waits, refuse the rest, and let go of the file."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise LogUnavailable("The log was closed.")

    def _work(self) -> None:
        """The thread: jobs in their order, neighbouring appends as one group, until it is told to end."""
        while True:
            for kind, jobs in groupby(self._take(), key=type):
                if kind is Append:
                    self._write([job for job in jobs if isinstance(job, Append)])
                    continue
                for job in jobs:
                    if not isinstance(job, Chore):
                        return
                    self._do(job)

    def _take(self) -> Sequence[Append | Chore | None]:
        """All jobs that wait, as soon as there is one."""
        jobs = [self._queue.get()]
        with suppress(queue.Empty):
            while len(jobs) < _GROUP_JOBS:
                jobs.append(self._queue.get_nowait())
        return jobs

    def _write(self, appends: Sequence[Append]) -> None:
        try:
            with faults_of(self._path):
                written = self._commit(appends)
        except Exception as error:  # whatever it is, those who wait must hear of it
            self._loop.call_soon_threadsafe(self._fail, appends, error)
        else:
            self._loop.call_soon_threadsafe(self._succeed, written)

    def _commit(self, appends: Sequence[Append]) -> Written:
        position = self._last_position
        results, recorded, rows = [], [], []
        with transaction(self._connection):
            standing = Standing(self._connection, (event for append in appends for event in append.events))
            for append in appends:
                result: list[Recorded | None] = []
                for event, row in zip(append.events, append.rows, strict=True):
                    if not standing.accept(event):
                        result.append(None)
                        continue
                    position += 1
                    result.append(accepted := Recorded(position=position, event=event))
                    recorded.append(accepted)
                    rows.append((position, *row))
                results.append(result)
            if recorded:
                insert_events(self._connection, rows)
                record(self._connection, recorded)
            else:
                touch(self._connection)
        self._last_position = position
        return Written(appends, results, recorded, [len(row[-1]) for row in rows])

    def _do(self, chore: Chore) -> None:
        try:
            with faults_of(self._path):
                result = chore.run(self._connection)
        except Exception as error:  # whatever it is, whoever waits must hear of it
            self._loop.call_soon_threadsafe(_reject, chore.result, error)
        else:
            self._loop.call_soon_threadsafe(_resolve, chore.result, result)

    def _succeed(self, written: Written) -> None:
        if written.recorded:
            self.fault = None
        self._deliver(written)
        for append, result in zip(written.appends, written.results, strict=True):
            self._waiting_events -= len(append.events)
            _resolve(append.results, result)

    def _fail(self, appends: Sequence[Append], error: Exception) -> None:
        if isinstance(error, CoveyError):
            self.fault = error
        for append in appends:
            self._waiting_events -= len(append.events)
            _reject(append.results, error)


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():  # whoever waited may have gone
        future.set_result(result)


def _reject(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
