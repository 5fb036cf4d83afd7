"""A few threads, each with a connection of its own that can only read."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from bus.errors import LogUnavailable
from bus.sqlite.faults import faults_of
from bus.sqlite.schema import connect_to_read

_THREADS: Final = 2

T = TypeVar("T")


class SqlitePool:
    """Runs reads off the event loop; each sees what was committed when its statement begins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"log reader {path.name}")
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """What `read` returns. Raises LogUnavailable or LogCorrupt for SQLite's errors, and once closed."""
        if self._closed:
            raise LogUnavailable("The log was closed.")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, read)

    async def close(self) -> None:
        """Finish what is being read, then close the connections."""
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)
        while self._connections:
            self._connections.pop().close()

    def _run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        with faults_of(self._path):
            return read(self._connection())

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = connect_to_read(self._path)
            self._connections.append(connection)
        return connection
