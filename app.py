"""The composition root: settings in, a running server out. Nothing else chooses between adapters or builds a client."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx
import strawberry
import structlog
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route, WebSocketRoute

from bus.clock import Clock, SystemClock
from bus.cursor import Cursors
from bus.errors import CoveyError
from bus.events import Topic
from bus.fanout import Fanout
from bus.ids import MemberId, TenantId, random_id
from bus.log import OrderedLog, RequestView
from bus.metrics import Metrics
from bus.question import Provider
from bus.reader import Reader
from bus.replay import Streams
from bus.retention import Retention
from bus.sealing import PlainSealer, Sealer, TenantSealer
from bus.sqlite_log import SqliteLog
from delivery.answers import Answers
from delivery.caller import Caller, Role
from delivery.connect_tokens import ConnectTokens
from delivery.connections import Connections
from delivery.development_key import DevelopmentKey, sign_development_token
from delivery.drain import Drain
from delivery.graphiql import GraphiqlPage
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
from resolvers.use_cases import UseCases, assemble
from scheduler.dispatcher import Dispatcher
from scheduler.journal import Journal
from scheduler.memory_admission import MemoryAdmission
from scheduler.policy import AdmissionPolicy, BreakerPolicy
from scheduler.recovery import recover
from scheduler.retries import RetryPolicy
from schema.context import Context
from schema.execution import build_schema
from schema.limits import Limits
from setting_kinds import LOOPBACK
from settings import Settings
from warming.freshness import Freshness
from warming.sqlite_cache import SqliteCache
from warming.view import CoverageView

_logger = structlog.get_logger(__name__)

_COLLECTOR_THRESHOLDS: Final = (100_000, 50, 1000)
"""CPython's defaults collect so often that a busy gateway spends half its time at it."""
_BACKLOG: Final = 2048
_WEB: Final = Path(__file__).parent / "web"
_GRAPHIQL_MEMBER: Final = MemberId("m-1")
_GRAPHIQL_TOKEN_SECONDS: Final = 8 * 3600
_PAYER_IDLE_SECONDS: Final = 4.0
"""Below the keep-alive of servers, so that no call is sent on a connection that is just being closed."""


class DurableLog(OrderedLog, RequestView, Protocol):
    """What holds the events also tells where requests stand."""

    async def close(self) -> None: ...


class _Foundation(NamedTuple):
    """What every part is given."""

    settings: Settings
    url: str
    """Where this server listens."""
    clock: Clock
    random: Random
    metrics: Metrics
    sealer: Sealer


OpenLog = Callable[[Settings, Clock, Metrics, Sealer], Awaitable[DurableLog]]


async def open_sqlite_log(settings: Settings, clock: Clock, metrics: Metrics, sealer: Sealer) -> DurableLog:
    """The embedded log; raises LogLocked, LogCorrupt or LogUnavailable."""
    return await SqliteLog.open(settings.log_path, clock=clock, new_epoch=random_id, metrics=metrics, sealer=sealer)


class _Views(NamedTuple):
    """The log, and what is read from it."""

    log: DurableLog
    cache: SqliteCache
    readers: tuple[Reader, ...]
    cursors: Cursors
    streams: Streams


@asynccontextmanager
async def _views(base: _Foundation, open_log: OpenLog) -> AsyncIterator[_Views]:
    settings, clock, metrics = base.settings, base.clock, base.metrics
    async with AsyncExitStack() as stack:
        log = await open_log(settings, clock, metrics, base.sealer)
        stack.push_async_callback(log.close)
        cache = await SqliteCache.open(
            settings.data / "views.sqlite3", epoch=log.epoch, capacity=settings.cache_entries, sealer=base.sealer
        )
        stack.push_async_callback(cache.close)
        fanout = await stack.enter_async_context(Fanout())
        answers_known, payers_known = await cache.position(), await log.end(Topic.PAYER)
        readers = (
            Reader(log, Topic.RTE, [CoverageView(cache), fanout], metrics, clock, start_after=answers_known),
            Reader(log, Topic.PAYER, [fanout], metrics, clock, start_after=payers_known),
        )
        for reader in readers:
            await stack.enter_async_context(reader)
        cursors = Cursors(_bytes(settings.cursor_key), log.epoch)
        idle_seconds = settings.idle_checkpoint_seconds
        streams = Streams(log, fanout, cursors, clock, metrics, idle_checkpoint_seconds=idle_seconds)
        yield _Views(log, cache, readers, cursors, streams)


@asynccontextmanager
async def _dispatcher(base: _Foundation, views: _Views) -> AsyncIterator[Dispatcher]:
    """What calls payers; it has taken up what an earlier life left open."""
    settings, clock, metrics = base.settings, base.clock, base.metrics
    limits = httpx.Limits(max_connections=2 * settings.slots, keepalive_expiry=_PAYER_IDLE_SECONDS)
    # What a proxy is for lies beyond this machine; a simulator does not.
    beyond = urlsplit(settings.payer_url).hostname not in LOOPBACK
    async with httpx.AsyncClient(limits=limits, trust_env=beyond) as http:
        payer = StediClient(
            http,
            base_url=settings.payer_url,
            api_key=settings.payer_api_key.get_secret_value(),
            api=StediApi(settings.stedi_api),
            timeout_seconds=settings.call_timeout_seconds,
            clock=clock,
        )
        policy = AdmissionPolicy(
            slots=settings.slots,
            slots_per_payer=settings.slots_per_payer,
            lease_seconds=settings.lease_seconds,
            queue_limit=settings.queue_limit,
            breaker=BreakerPolicy(open_seconds=settings.breaker_open_seconds),
        )
        admission = MemoryAdmission(policy, random_id)
        journal = Journal(views.log, views.log, clock, random_id, metrics)
        dispatcher = Dispatcher(
            journal=journal,
            admission=admission,
            payer=payer,
            retries=RetryPolicy(base.random),
            clock=clock,
            metrics=metrics,
        )
        await recover(
            log=views.log,
            requests=views.log,
            journal=journal,
            admission=admission,
            dispatcher=dispatcher,
            clock=clock,
            lease_seconds=settings.lease_seconds,
        )
        yield dispatcher


def _use_cases(base: _Foundation, views: _Views, dispatcher: Dispatcher, connect_tokens: ConnectTokens) -> UseCases:
    settings = base.settings
    provider = None
    if settings.provider_npi is not None:
        provider = Provider(npi=settings.provider_npi, organization_name=settings.provider_name)
    return assemble(
        log=views.log,
        requests=views.log,
        cursors=views.cursors,
        streams=views.streams,
        dispatcher=dispatcher,
        directory=Directory.load(include_simulated=settings.development),
        default_provider=provider,
        cache=views.cache,
        freshness=Freshness(fresh_seconds=settings.cache_fresh_seconds, stale_seconds=settings.cache_stale_seconds),
        connect_tokens=connect_tokens,
        people_per_day=settings.people_per_member_per_day,
        clock=base.clock,
        new_id=random_id,
        metrics=base.metrics,
    )


class _Keys(NamedTuple):
    """What tokens are checked with: the issuer's keys, or in development a key of our own, that also signs."""

    source: KeySource
    development: DevelopmentKey | None


@asynccontextmanager
async def _keys(base: _Foundation) -> AsyncIterator[_Keys]:
    settings = base.settings
    if settings.jwt_jwks_url is not None:
        async with httpx.AsyncClient() as http:
            yield _Keys(JwksKeys(url=settings.jwt_jwks_url, client=http, clock=base.clock), None)
    elif settings.jwt_public_key is not None:
        yield _Keys(public_key(settings.jwt_public_key), None)
    else:
        development = DevelopmentKey.in_folder(settings.data)
        yield _Keys(development.source, development)


def _doors(
    base: _Foundation,
    *,
    use_cases: UseCases,
    keys: _Keys,
    connect_tokens: ConnectTokens,
    connections: Connections,
    drain: Drain,
) -> list[BaseRoute]:
    """`/graphql` over HTTP and WebSocket, and GraphiQL where tokens may be minted."""
    settings, clock, metrics = base.settings, base.clock, base.metrics
    answers = Answers(metrics=metrics, new_id=random_id)
    schema = build_schema(answers=answers, limits=_limits(settings), development=settings.development)
    verifier = TokenVerifier(keys=keys.source, connect_tokens=connect_tokens, clock=clock)
    rates = Rates(clock=clock, operations_per_second=settings.operations_per_second, burst=settings.operations_burst)
    page = None if keys.development is None else _graphiql(keys.development, clock)

    def context(caller: Caller) -> Context:
        return Context(caller=caller, use_cases=use_cases)

    http_door = HttpDoor(
        schema=schema,
        verifier=verifier,
        rates=rates,
        drain=drain,
        context_factory=context,
        answers=answers,
        body_limit_bytes=settings.message_bytes,
        page=page,
    )
    socket_door = SocketDoor(
        schema=schema,
        verifier=verifier,
        rates=rates,
        connections=connections,
        drain=drain,
        context_factory=context,
        answers=answers,
        metrics=metrics,
        clock=clock,
        init_timeout_seconds=settings.connection_init_seconds,
        max_subscriptions=settings.max_subscriptions_per_connection,
    )
    doors: list[BaseRoute] = [Route("/graphql", http_door), WebSocketRoute("/graphql", socket_door)]
    return doors if page is None else [page.route, *doors]


def _graphiql(key: DevelopmentKey, clock: Clock) -> GraphiqlPage:
    def mint() -> str:
        return sign_development_token(
            key,
            tenant_id=TenantId("demo"),
            roles=[Role.MEMBER],
            member_id=_GRAPHIQL_MEMBER,
            ttl_seconds=_GRAPHIQL_TOKEN_SECONDS,
            now=clock.now(),
            token_id=random_id(),
        )

    return GraphiqlPage(_WEB, mint_token=mint, member_id=_GRAPHIQL_MEMBER)


def _probes(base: _Foundation, views: _Views, dispatcher: Dispatcher, drain: Drain) -> Probes:
    async def draining() -> str | None:
        return "This instance is going away." if drain.active else None

    async def log_away() -> str | None:
        try:
            await views.log.append([])  # of nothing: tells whether something could be written
        except CoveyError as error:
            return str(error)
        return None

    async def behind() -> str | None:
        late = [reader.topic for reader in views.readers if not await reader.caught_up()]
        return f"The readers of {', '.join(late)} are behind the log." if late else None

    async def measure() -> None:
        status = await dispatcher.status()
        base.metrics.slots.labels("held").set(status.held)
        base.metrics.slots.labels("free").set(max(0, status.slots - status.held))
        for waiting in status.classes:
            base.metrics.queue.labels(waiting.priority).set(waiting.waiting)

    checks = {"drain": draining, "log": log_away, "readers": behind}
    return Probes(checks=checks, metrics=base.metrics, refresh=measure)


class Program(NamedTuple):
    """Everything that runs, wired together."""

    app: Starlette
    drain: Drain
    dispatcher: Dispatcher
    retention: Retention
    metrics: Metrics


@asynccontextmanager
async def assembled(settings: Settings, *, url: str, open_log: OpenLog = open_sqlite_log) -> AsyncIterator[Program]:
    """Build every part in the order in which they need each other, and close them in reverse.

    `url` is where this server listens. What an earlier life left open is taken up before this returns. Raises
    LogLocked, LogCorrupt, LogUnavailable, CacheUnavailable, KeyUnusable.
    """
    sealer = PlainSealer() if settings.data_key is None else TenantSealer(_bytes(settings.data_key))
    base = _Foundation(settings, url, SystemClock(), SystemRandom(), Metrics(), sealer)
    connect_tokens = ConnectTokens(
        shared_key=_bytes(settings.cursor_key),
        url=settings.public_url or f"ws{url.removeprefix('http')}/graphql",
        ttl_seconds=settings.connect_token_seconds,
        clock=base.clock,
        new_id=random_id,
    )
    connections = Connections(
        metrics=base.metrics,
        max_connections=settings.max_connections,
        per_member=settings.connections_per_member,
        per_service=settings.connections_per_service,
    )
    drain = Drain(connections=connections, clock=base.clock, random=base.random, window_seconds=settings.drain_seconds)
    async with _keys(base) as keys, _views(base, open_log) as views, _dispatcher(base, views) as dispatcher:
        use_cases = _use_cases(base, views, dispatcher, connect_tokens)
        routes = _doors(
            base,
            use_cases=use_cases,
            keys=keys,
            connect_tokens=connect_tokens,
            connections=connections,
            drain=drain,
        )
        probes = _probes(base, views, dispatcher, drain)
        cors = Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["POST"],
            allow_headers=["authorization", "content-type"],
        )
        kept = timedelta(days=settings.retention_days)
        retention = Retention(views.log, base.clock, dict.fromkeys(Topic, kept))
        app = Starlette(routes=[*routes, *probes.routes()], middleware=[cors])
        try:
            yield Program(app, drain, dispatcher, retention, base.metrics)
        finally:
            await use_cases.acceptance.close()


async def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    open_log: OpenLog = open_sqlite_log,
) -> int:
    """Serve until SIGTERM, SIGINT or `stop`, drain, and return the exit code; `on_ready` is given the URL.

    Raises OSError where the port is in use, and what `assembled` raises.
    """
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    os.umask(0o077)  # what is kept is health data: for its owner only
    with closing(_listen(host, port)) as listener:
        url = f"http://{host}:{listener.getsockname()[1]}"
        async with assembled(settings, url=url, open_log=open_log) as program, asyncio.TaskGroup() as side_tasks:
            running = side_tasks.create_task(program.dispatcher.run(), name="dispatcher")
            deleting = side_tasks.create_task(program.retention.run(), name="retention")
            protocol = stall_guard(StallLimits(write_deadline_seconds=settings.write_deadline_seconds), program.metrics)
            config = server_config(
                program.app, host=host, port=port, protocol=protocol, message_limit_bytes=settings.message_bytes
            )
            server = DrainingServer(config, partial(_drain, program, settings.drain_seconds))
            gc.freeze()
            if on_ready is not None:
                on_ready(url)
            stopping = side_tasks.create_task(_stop(server, stop or asyncio.Event()), name="stop")
            await server.serve(sockets=[listener])
            left = await program.dispatcher.drain(0)
            if left:
                _logger.warning("calls_abandoned", count=left, note="taken up at the next start")
            for task in (running, deleting, stopping):
                task.cancel()
    return 0


async def _drain(program: Program, window_seconds: float) -> None:
    """Send clients elsewhere, one after another, while the calls under way have time to end."""
    async with asyncio.TaskGroup() as both:
        both.create_task(program.drain.run(), name="drain sockets")
        both.create_task(program.dispatcher.drain(window_seconds), name="drain calls")


async def _stop(server: DrainingServer, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


def build_schema_for_printing() -> strawberry.Schema:
    """The schema as it is served, without anything behind it."""
    return build_schema(answers=Answers(metrics=Metrics(), new_id=random_id), development=True)


def _limits(settings: Settings) -> Limits:
    return Limits(
        document_bytes=settings.document_bytes,
        tokens=settings.document_tokens,
        depth=settings.document_depth,
        aliases=settings.document_aliases,
        complexity=settings.document_complexity,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, asyncio turns off the delay of small packets; else an answer may wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # from here on nobody is refused: who comes early waits
    except OSError:
        listener.close()
        raise
    return listener


def _bytes(secret: SecretStr) -> bytes:
    return secret.get_secret_value().encode()
