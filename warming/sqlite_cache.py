"""The coverage cache in a SQLite file of its own, with the latest answers in memory before it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

import msgspec

from bus.coverage import Coverage
from bus.errors import CoveyError
from bus.ids import TenantId
from warming.coverage_file import CoverageFile, Key, Origin
from warming.errors import CacheUnavailable

_T = TypeVar("_T")
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Coverage)


class Sealer(Protocol):
    """Encrypts what is written down, by a key of each tenant."""

    def seal(self, tenant_id: TenantId, clear: bytes) -> bytes: ...

    def unseal(self, tenant_id: TenantId, sealed: bytes) -> bytes:
        """Raises CoveyError where the bytes were not sealed by this tenant's key."""
        ...


class SqliteCache:
    """A `CoverageCache` that survives restarts. SQLite works in one thread of its own, with a bounded queue before it.

    A file that cannot be read, or was made for another log, key or version, is thrown away, said in one line of the
    log, and `position` is 0: whoever feeds the cache begins again at the log's beginning. If that happens while
    running, the position stays 0 until the next start, which then rebuilds it.
    """

    def __init__(
        self, file: CoverageFile, thread: ThreadPoolExecutor, *, capacity: int, hot_capacity: int, sealer: Sealer | None
    ) -> None:
        self._file = file
        self._thread = thread
        self._capacity = capacity
        self._sealer = sealer
        self._hot: OrderedDict[Key, Coverage] = OrderedDict()
        self._hot_capacity = hot_capacity
        self._queue = asyncio.Semaphore(256)
        self._incomplete = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        epoch: str,
        capacity: int = 100_000,
        hot_capacity: int = 4_096,
        sealer: Sealer | None = None,
    ) -> Self:
        """Open or make the file. `epoch` is the log's; `capacity` and `hot_capacity` are entries on disk and in memory.

        Raises CacheUnavailable where the folder cannot be written.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="coverage-cache")
        origin = Origin(epoch=epoch, sealed=sealer is not None)
        try:
            file = await asyncio.get_running_loop().run_in_executor(thread, CoverageFile, path, origin)
        except (sqlite3.Error, OSError) as error:
            thread.shutdown(wait=False)
            raise CacheUnavailable("The coverage cache's file cannot be opened or made.") from error
        return cls(file, thread, capacity=capacity, hot_capacity=hot_capacity, sealer=sealer)

    async def close(self) -> None:
        """End what is under way, then the file and its thread."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
            self._thread.shutdown(wait=False)

    async def get(self, tenant_id: TenantId, question_key: str) -> Coverage | None:
        key = (tenant_id, question_key)
        hot = self._hot.get(key)
        if hot is not None:
            self._hot.move_to_end(key)
            return hot
        try:
            coverage = await self._work(lambda: self._load(key))
        except (CacheUnavailable, CoveyError, msgspec.DecodeError):
            return None
        if coverage is not None:
            self._heat(key, coverage)
        return coverage

    async def put(self, tenant_id: TenantId, question_key: str, coverage: Coverage) -> bool:
        key = (tenant_id, question_key)
        gone = await self._work(lambda: self._store(key, coverage))
        for other in gone or ():
            self._hot.pop(other, None)
        if gone is None or key in gone:
            return False
        self._heat(key, coverage)
        return True

    async def position(self) -> int:
        return await self._work(self._file.position)

    async def advance(self, position: int) -> None:
        if not self._incomplete:
            await self._work(lambda: self._file.advance(position))

    async def delete_before(self, time: datetime) -> int:
        gone = await self._work(lambda: self._file.delete_before(time))
        for key in gone:
            self._hot.pop(key, None)
        return len(gone)

    def _load(self, key: Key) -> Coverage | None:
        body = self._file.body(key)
        if body is None:
            return None
        return _DECODER.decode(body if self._sealer is None else self._sealer.unseal(key[0], body))

    def _store(self, key: Key, coverage: Coverage) -> frozenset[Key] | None:
        """Which entries had to go for it; None if a newer one is held."""
        body = _ENCODER.encode(coverage)
        sealed = body if self._sealer is None else self._sealer.seal(key[0], body)
        if not self._file.keep(key, coverage.obtained_at, sealed):
            return None
        return self._file.shrink(self._capacity)

    def _heat(self, key: Key, coverage: Coverage) -> None:
        held = self._hot.get(key)
        if held is None or held.obtained_at <= coverage.obtained_at:
            self._hot[key] = coverage
        self._hot.move_to_end(key)
        if len(self._hot) > self._hot_capacity:
            self._hot.popitem(last=False)

    async def _work(self, job: Callable[[], _T]) -> _T:
        """Do the job in the thread. Raises CacheUnavailable."""
        async with self._queue:
            if self._closed:
                raise CacheUnavailable("The coverage cache is closed.")
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._attempt, job)

    def _attempt(self, job: Callable[[], _T]) -> _T:
        try:
            return job()
        except sqlite3.OperationalError as error:
            raise CacheUnavailable("The coverage cache cannot be written or read now.") from error
        except sqlite3.DatabaseError:
            pass  # the file is damaged: no later attempt would do better on it
        try:
            self._file.start_anew("damaged")
            self._incomplete = True
            return job()
        except (sqlite3.Error, OSError) as error:
            raise CacheUnavailable("The coverage cache's file is damaged and cannot be made anew.") from error
