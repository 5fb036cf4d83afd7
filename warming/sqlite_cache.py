"""The coverage cache in a SQLite file of its own, with the latest answers in memory before it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec

from bus.coverage import Coverage
from bus.errors import CoveyError
from bus.ids import TenantId
from bus.sealing import PlainSealer, Sealer
from warming.coverage_file import CoverageFile, Key
from warming.errors import CacheUnavailable

_T = TypeVar("_T")
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Coverage)


class _HotAnswers:
    """The answers used last, in memory.

    Read in the event loop; changed only in the file's thread, together with the file, so that a caller who goes away
    half-way leaves no difference between the two.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[Key, Coverage] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Coverage | None:
        with self._lock:
            coverage = self._answers.get(key)
            if coverage is not None:
                self._answers.move_to_end(key)
            return coverage

    def put(self, key: Key, coverage: Coverage) -> None:
        with self._lock:
            self._answers[key] = coverage
            self._answers.move_to_end(key)
            if len(self._answers) > self._capacity:
                self._answers.popitem(last=False)

    def drop(self, keys: Iterable[Key]) -> None:
        with self._lock:
            for key in keys:
                self._answers.pop(key, None)


class SqliteCache:
    """A `CoverageCache` that survives restarts. SQLite works in one thread of its own, with a bounded queue before it.

    A file that cannot be read, or was made for another log, key or version, is thrown away, said in one line of the
    log, and `position` is 0: whoever feeds the cache begins again at the log's beginning. If that happens while
    running, the position stays 0 until the next start, which then rebuilds it.
    """

    def __init__(self, file: CoverageFile, thread: ThreadPoolExecutor, *, capacity: int, hot_capacity: int) -> None:
        self._file = file
        self._thread = thread
        self._capacity = capacity
        self._hot = _HotAnswers(hot_capacity)
        self._queue = asyncio.Semaphore(256)
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

        Without a `sealer` answers lie on the disk in the clear.
        Raises CacheUnavailable where the folder cannot be written, or another program's file stands there.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="coverage-cache")
        loop = asyncio.get_running_loop()
        try:
            file = await loop.run_in_executor(thread, CoverageFile, path, epoch, sealer or PlainSealer())
        except CacheUnavailable:
            thread.shutdown(wait=False)
            raise
        except (sqlite3.Error, OSError) as error:
            thread.shutdown(wait=False)
            raise CacheUnavailable(
                f"The coverage cache {path} cannot be opened or made: see that this user may write its folder, that "
                "there is room, and remove what stands in its place."
            ) from error
        return cls(file, thread, capacity=capacity, hot_capacity=hot_capacity)

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
            return hot
        with contextlib.suppress(CoveyError, msgspec.DecodeError):
            return await self._work(lambda: self._load(key))
        return None

    async def put(self, tenant_id: TenantId, question_key: str, coverage: Coverage) -> bool:
        return await self._work(lambda: self._store((tenant_id, question_key), coverage))

    async def put_all(self, answers: Sequence[tuple[TenantId, str, Coverage]]) -> None:
        await self._work(lambda: self._store_all(answers))

    async def position(self) -> int:
        return await self._work(self._file.position)

    async def advance(self, position: int) -> None:
        await self._work(lambda: self._file.advance(position))

    async def delete_before(self, time: datetime) -> int:
        return await self._work(lambda: self._delete_before(time))

    def _load(self, key: Key) -> Coverage | None:
        body = self._file.body(key)
        if body is None:
            return None
        coverage = _DECODER.decode(body)
        self._hot.put(key, coverage)
        return coverage

    def _store(self, key: Key, coverage: Coverage) -> bool:
        if not self._file.keep(key, coverage.obtained_at, _ENCODER.encode(coverage)):
            return False
        self._hot.put(key, coverage)
        gone = self._file.shrink(self._capacity)
        self._hot.drop(gone)
        return key not in gone

    def _store_all(self, answers: Sequence[tuple[TenantId, str, Coverage]]) -> None:
        with self._file.transaction():
            for tenant_id, question_key, coverage in answers:
                self._store((tenant_id, question_key), coverage)

    def _delete_before(self, time: datetime) -> int:
        gone = self._file.delete_before(time)
        self._hot.drop(gone)
        return len(gone)

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
            self._file.start_anew()
            return job()
        except (sqlite3.Error, OSError) as error:
            raise CacheUnavailable("The coverage cache's file is damaged and cannot be made anew.") from error
