"""The composition root: settings in, a running server out. Nothing else chooses between adapters or builds a client."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import timedelta
from random import Random, SystemRandom
from typing import Final, NamedTuple, Protocol

import httpx
import strawberry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute

from bus.clock import Clock, SystemClock
from bus.cursor import Cursors
from bus.events import Priority, Topic
from bus.fanout import Fanout
from bus.ids import TenantId, random_id
from bus.log import EventLog, RequestView
from bus.metrics import Metrics
from bus.reader import Reader
from bus.replay import Streams
from bus.retention import Retention
from bus.sealing import PlainSealer, Sealer, TenantSealer
from bus.sqlite_log import SqliteLog
from delivery.answers import Answers
from delivery.caller import Caller
from delivery.connect_tokens import ConnectTokens
from delivery.connections import Connections
from delivery.development_key import DevelopmentKey
from delivery.drain import Drain
from delivery.http import HttpDoor
from delivery.jwks import JwksKeys
from delivery.keys import KeySource, public_key
from delivery.probes import Probes
from delivery.rates import Rates
from delivery.server import DrainingServer, server_config
from delivery.socket import SocketDoor
from delivery.stall import StallLimits, stall_guard
from delivery.tokens import TokenVerifier
from payer.directory import Directory
from payer.stedi import StediApi, StediClient
from scheduler.dispatcher import Dispatcher
from scheduler.journal import Journal
from scheduler.memory_admission import MemoryAdmission
from scheduler.policy import AdmissionPolicy, BreakerPolicy
from scheduler.recovery import recover
from scheduler.retries import RetryPolicy
from settings import Settings
from warming.freshness import Freshness
from warming.sqlite_cache import SqliteCache
from warming.view import CoverageView

_COLLECTOR_THRESHOLDS: Final = (100_000, 50, 1000)
"""CPython's defaults collect so often that a busy gateway spends half its time there (p99 542 -> 151 ms when raised)."""
_PAYER_IDLE_SECONDS: Final = 4.0
"""Below the keep-alive of servers, so that no call is sent on a connection that is just being closed."""


class DurableLog(EventLog, RequestView, Protocol):
    """What holds the events also tells where requests stand."""

    async def close(self) -> None: ...


OpenLog = Callable[[Settings, Clock, Metrics, Sealer], Awaitable[DurableLog]]


async def open_sqlite_log(settings: Settings, clock: Clock, metrics: Metrics, sealer: Sealer) -> DurableLog:
    """The embedded log; raises LogLocked, LogCorrupt or LogUnavailable."""
    return await SqliteLog.open(settings.log_path, clock=clock, new_epoch=random_id, metrics=metrics, sealer=sealer)


class Program(NamedTuple):
    """Everything that runs, wired together."""

    app: Starlette
    drain: Drain
    dispatcher: Dispatcher
    retention: Retention
    metrics: Metrics
    settings: Settings


@asynccontextmanager
async def assembled(
    settings: Settings, *, url: str, clock: Clock, random: Random, open_log: OpenLog = open_sqlite_log
) -> AsyncIterator[Program]:
    """Build every part, in the order in which they need each other, and close them in reverse.

    `url` is where this server listens. What an earlier life left open is taken up before this returns. Raises
    LogLocked, LogCorrupt, LogUnavailable, CacheUnavailable, KeyUnusable.
    """
    metrics = Metrics()
    sealer = TenantSealer(settings.data_key.get_secret_value()) if settings.data_key else PlainSealer()
    cursor_key = settings.cursor_key.get_secret_value()
    async with AsyncExitStack() as stack:
        log = await open_log(settings, clock, metrics, sealer)
        stack.push_async_callback(log.close)
        cache = await SqliteCache.open(
            settings.data / "views.sqlite3", epoch=log.epoch, capacity=settings.cache_entries, sealer=sealer
        )
        stack.push_async_callback(cache.close)
        fanout = await stack.enter_async_context(Fanout())
        readers = [
            Reader(log, Topic.RTE, [CoverageView(cache), fanout], metrics, clock, start_after=await cache.position()),
            Reader(log, Topic.PAYER, [fanout], metrics, clock, start_after=await log.end(Topic.PAYER)),
        ]
        for reader in readers:
            await stack.enter_async_context(reader)
        streams = Streams(
            log,
            fanout,
            Cursors(cursor_key, log.epoch),
            clock,
            metrics,
            idle_checkpoint_seconds=settings.idle_checkpoint_seconds,
        )

        http = await stack.enter_async_context(
            httpx.AsyncClient(
                limits=httpx.Limits(max_connections=2 * settings.slots, keepalive_expiry=_PAYER_IDLE_SECONDS)
            )
        )
        payer = StediClient(
            http,
            base_url=settings.payer_url,
            api_key=settings.payer_api_key.get_secret_value(),
            api=StediApi(settings.stedi_api),
            timeout_seconds=settings.call_timeout_seconds,
            clock=clock,
        )
        admission = MemoryAdmission(_admission_policy(settings), random_id)
        journal = Journal(log, log, clock, random_id, metrics)
        dispatcher = Dispatcher(
            journal=journal,
            admission=admission,
            payer=payer,
            retries=RetryPolicy(random),
            clock=clock,
            metrics=metrics,
        )
        await recover(
            log=log,
            requests=log,
            journal=journal,
            admission=admission,
            dispatcher=dispatcher,
            clock=clock,
            lease_seconds=settings.lease_seconds,
        )
        yield Program()


def _admission_policy(settings: Settings) -> AdmissionPolicy:
    return AdmissionPolicy(
        slots=settings.slots,
        slots_per_payer=settings.slots_per_payer,
        lease_seconds=settings.lease_seconds,
        queue_limit=settings.queue_limit,
        breaker=BreakerPolicy(open_seconds=settings.breaker_open_seconds),
    )
