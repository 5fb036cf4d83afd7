"""One process: an SQLite file, and everything else in memory, rebuilt from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Protocol

from bus.claims import OneOrder
from bus.clock import Clock
from bus.errors import CoveyError, LogUnavailable
from bus.events import Topic
from bus.fanout import Fanout
from bus.ids import random_id
from bus.log import OrderedLog, RequestView
from bus.metrics import Metrics
from bus.reader import Reader
from bus.retention import Retention
from bus.sealing import Sealer
from bus.sqlite.log import SqliteLog
from delivery.revocation_file import RevocationFile
from scheduler.dispatcher import Dispatcher
from scheduler.journal import Journal
from scheduler.memory_admission import MemoryAdmission
from scheduler.recovery import recover
from settings import Settings
from warming.sqlite_cache import SqliteCache
from warming.view import CoverageView
from wiring.foundation import Foundation
from wiring.payer import payer_client
from wiring.scheduling import Scheduling, admission_policy, worker_of
from wiring.store import Store


class DurableLog(OrderedLog, RequestView, Protocol):
    """What holds the events also tells where requests stand."""

    async def probe(self) -> CoveyError | None:
        """Why no event can be written now; None if one can. Raises LogUnavailable."""
        ...

    async def close(self) -> None: ...


OpenLog = Callable[[Settings, Clock, Metrics, Sealer], Awaitable[DurableLog]]


async def open_sqlite_log(settings: Settings, clock: Clock, metrics: Metrics, sealer: Sealer) -> DurableLog:
    """The embedded log; raises LogLocked, LogCorrupt or LogUnavailable."""
    return await SqliteLog.open(settings.log_path, clock=clock, new_epoch=random_id, metrics=metrics, sealer=sealer)


@asynccontextmanager
async def embedded_store(base: Foundation, open_log: OpenLog = open_sqlite_log) -> AsyncIterator[Store]:
    """Open the files, and read what is new into the cache and the fan-out. Raises as `open_log`; CacheUnavailable."""
    settings, clock, metrics = base.settings, base.clock, base.metrics
    async with AsyncExitStack() as stack:
        log = await open_log(settings, clock, metrics, base.sealer)
        stack.push_async_callback(log.close)
        cache = await SqliteCache.open(
            settings.data / "views.sqlite3", epoch=log.epoch, capacity=settings.cache_entries, sealer=base.sealer
        )
        stack.push_async_callback(cache.close)
        fanout = await stack.enter_async_context(Fanout(tail_bound=settings.undelivered_events))
        answers_known, payers_known = await cache.position(), await log.end(Topic.PAYER)
        readers = (
            Reader(log, Topic.RTE, [CoverageView(cache), fanout], metrics, clock, start_after=answers_known),
            Reader(log, Topic.PAYER, [fanout], metrics, clock, start_after=payers_known),
        )
        for reader in readers:
            await stack.enter_async_context(reader)

        async def log_away() -> str | None:
            try:
                fault = await log.probe()
            except LogUnavailable as error:
                return str(error)
            return None if fault is None else str(fault)

        async def behind() -> str | None:
            late = [reader.topic for reader in readers if not await reader.caught_up()]
            return f"The readers of {', '.join(late)} are behind the log." if late else None

        kept = timedelta(days=settings.retention_days)
        retention = Retention(log, clock, dict.fromkeys(Topic, kept), views=[cache])
        yield Store(
            log=log,
            requests=log,
            cache=cache,
            fanout=fanout,
            claims=OneOrder(),
            revocations=RevocationFile(settings.data / "revocations.json", clock),
            checks={"log": log_away, "readers": behind},
            chores={"retention": retention.run},
        )


@asynccontextmanager
async def embedded_scheduling(base: Foundation, store: Store) -> AsyncIterator[Scheduling]:
    """The one worker of the one process; what an earlier life left open has been taken up."""
    async with payer_client(base) as payer:
        admission = MemoryAdmission(admission_policy(base.settings), random_id)
        journal = Journal(store.log, store.requests, base.clock, random_id, base.metrics)
        dispatcher = Dispatcher(journal=journal, admission=admission, clock=base.clock, metrics=base.metrics)
        worker = worker_of(base, payer, journal, admission, dispatcher)
        await recover(
            log=store.log,
            requests=store.requests,
            journal=journal,
            admission=admission,
            dispatcher=dispatcher,
            clock=base.clock,
            lease_seconds=base.settings.lease_seconds,
        )
        yield Scheduling(dispatcher, [worker], {"worker": worker.run})
