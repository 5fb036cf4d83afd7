"""The composition root: settings in, a running server out. Nothing else chooses between adapters or builds a client."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Final, NamedTuple

import strawberry
import structlog
from starlette.applications import Starlette

from bus.clock import SystemClock
from bus.cursor import Cursors
from bus.errors import StateUnavailable
from bus.ids import random_id
from bus.metrics import Metrics
from bus.question import Provider
from bus.replay import Streams
from bus.replay_budget import BudgetedLog
from delivery.connect_tokens import ConnectTokens
from delivery.connections import Connections
from delivery.drain import Drain
from delivery.payloads import Payloads
from delivery.presence import OwnPresence, Presence
from delivery.probes import Probes
from delivery.readers import answer_guard
from delivery.revocation import Revocations
from delivery.senders import SenderLimits
from delivery.server import DrainingServer, server_config
from delivery.site import site
from delivery.socket import SocketDoor
from delivery.sockets import Sockets
from delivery.stall import StallLimits
from delivery.websocket import socket_terms
from payer.directory import Directory
from resolvers.use_cases import UseCases, assemble
from scheduler.dispatcher import Dispatcher
from scheduler.worker import Worker
from schema.execution import build_schema
from settings import Settings
from warming.freshness import Freshness
from wiring.doors import doors, token_keys
from wiring.duties import EVERYTHING, Duties
from wiring.foundation import Foundation, sealer_of, secret_bytes, warn_of_plain_data
from wiring.scheduling import Scheduling
from wiring.store import Chore, Store
from wiring.traces import traces
from wiring.unused import unused

if TYPE_CHECKING:
    from wiring.embedded import OpenLog

_logger = structlog.get_logger(__name__)

_COLLECTOR_THRESHOLDS: Final = (3_000, 10, 100)
"""CPython's defaults collect too often for a busy gateway; at 100,000 the cycles that graphql-core leaves behind were
seen to pile up to stalls of 100 ms."""
_BACKLOG: Final = 2048
_LAST_WORD_SECONDS: Final = 10.0
"""After a body's time, in which the HTTP door says that it is over."""
_RESTORE_SECONDS: Final = 15.0
"""How long a start waits for what instances share; who connects meanwhile waits too."""
_LOOK_SECONDS: Final = 0.02


def _use_cases(
    base: Foundation,
    store: Store,
    *,
    cursors: Cursors,
    dispatcher: Dispatcher,
    connect_tokens: ConnectTokens,
    presence: Presence,
    revocations: Revocations,
) -> UseCases:
    settings = base.settings
    idle_seconds = settings.idle_checkpoint_seconds
    history = BudgetedLog(store.log, base.metrics, at_once=settings.history_reads_at_once)
    streams = Streams(
        history,
        store.fanout,
        cursors,
        base.clock,
        base.metrics,
        idle_checkpoint_seconds=idle_seconds,
        reader_bound=settings.undelivered_events,
    )
    provider = None
    if settings.provider_npi is not None:
        provider = Provider(npi=settings.provider_npi, organization_name=settings.provider_name)
    return assemble(
        log=store.log,
        requests=store.requests,
        cursors=cursors,
        streams=streams,
        dispatcher=dispatcher,
        directory=Directory.load(include_simulated=settings.development),
        default_provider=provider,
        claims=store.claims,
        cache=store.cache,
        freshness=Freshness(fresh_seconds=settings.cache_fresh_seconds, stale_seconds=settings.cache_stale_seconds),
        connect_tokens=connect_tokens,
        people_per_day=settings.people_per_member_per_day,
        clock=base.clock,
        new_id=random_id,
        metrics=base.metrics,
        presence=presence,
        revocations=revocations,
    )


def _probes(base: Foundation, store: Store, scheduling: Scheduling, drain: Drain, revocations: Revocations) -> Probes:
    async def restoring() -> str | None:
        return None if all(one.is_set() for one in scheduling.restored) else "What instances share is being read."

    async def not_loaded() -> str | None:
        return None if revocations.loaded else "Which tokens were revoked is not known yet."

    async def draining() -> str | None:
        return "This instance is going away." if drain.active else None

    async def measure() -> None:
        base.metrics.queued.set(store.fanout.held)
        try:
            status = await scheduling.dispatcher.status()
        except StateUnavailable:
            base.metrics.state_reachable.set(0)
            return  # the other metrics are told all the same
        base.metrics.state_reachable.set(1)
        base.metrics.slots.labels("held").set(status.held)
        base.metrics.slots.labels("free").set(max(0, status.slots - status.held))
        for waiting in status.classes:
            base.metrics.queue.labels(waiting.priority).set(waiting.waiting)

    checks = {"drain": draining, "start": restoring, "revocations": not_loaded, **store.checks}
    return Probes(checks=checks, metrics=base.metrics, refresh=measure, clock=base.clock)


class Program(NamedTuple):
    """Everything that runs, wired together."""

    app: Starlette
    sockets: SocketDoor | None
    """None where no clients come in."""
    drain: Drain
    workers: Sequence[Worker]
    chores: Mapping[str, Chore]
    restored: Sequence[asyncio.Event]
    metrics: Metrics


@asynccontextmanager
async def _backing(
    base: Foundation, duties: Duties, connections: Connections, open_log: OpenLog | None
) -> AsyncIterator[tuple[Store, Scheduling, Presence, Mapping[str, Chore]]]:
    """Where events are kept, who makes the calls and who has sockets: in this process, or among many; with the chores
    of all that."""
    # The adapters of the other kind stay unimported: with their libraries they are a third of a start.
    if base.settings.shared:
        with unused("opentelemetry.sdk.metrics"):  # redis-py would count by it, if it were told to
            from wiring.shared import present, shared_store  # noqa: PLC0415
            from wiring.shared_scheduling import shared_scheduling  # noqa: PLC0415

        async with (
            shared_store(base, duties) as shared,
            shared_scheduling(base, shared, workers=duties.workers) as scheduling,
        ):
            presence, telling = present(base, shared, connections)
            chores = {**scheduling.chores, **shared.store.chores, "presence": telling}
            yield shared.store, scheduling, presence, chores
    else:
        from wiring.embedded import embedded_scheduling, embedded_store, open_sqlite_log  # noqa: PLC0415

        open_log = open_log or open_sqlite_log
        async with embedded_store(base, open_log) as store, embedded_scheduling(base, store) as scheduling:
            yield store, scheduling, OwnPresence(connections, random_id()), {**scheduling.chores, **store.chores}


@asynccontextmanager
async def assembled(
    settings: Settings, *, url: str, duties: Duties = EVERYTHING, open_log: OpenLog | None = None
) -> AsyncIterator[Program]:
    """Build every part in the order in which they need each other, and close them in reverse.

    `url` is where this server listens. What an earlier life left open is taken up before this returns. Raises
    LogLocked, LogCorrupt, LogUnavailable, CacheUnavailable, KeyUnusable.
    """
    base = Foundation(settings, url, SystemClock(), SystemRandom(), Metrics(), sealer_of(settings))
    connect_tokens = ConnectTokens(
        shared_key=secret_bytes(settings.cursor_key),
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
        per_address=settings.connections_per_address,
        clock=base.clock,
    )
    drain = Drain(connections=connections, clock=base.clock, random=base.random, window_seconds=settings.drain_seconds)
    async with (
        traces(settings),
        token_keys(base) as keys,
        _backing(base, duties, connections, open_log) as (store, scheduling, presence, chores),
    ):
        dispatcher = scheduling.dispatcher
        cursors = Cursors(secret_bytes(settings.cursor_key), store.log.epoch)
        revocations = Revocations(
            store.revocations,
            connections=connections,
            clock=base.clock,
            kept_seconds=settings.revocations_kept_seconds,
            capacity=settings.revocations_limit,
        )
        with suppress(StateUnavailable):  # not ready until they are known
            await revocations.load()
        use_cases = _use_cases(
            base,
            store,
            cursors=cursors,
            dispatcher=dispatcher,
            connect_tokens=connect_tokens,
            presence=presence,
            revocations=revocations,
        )
        ways_in = doors(
            base,
            use_cases=use_cases,
            keys=keys,
            connect_tokens=connect_tokens,
            connections=connections,
            drain=drain,
            revocations=revocations,
        )
        probes = _probes(base, store, scheduling, drain, revocations)
        app = site(
            [*(ways_in.routes if duties.gateway else ()), *probes.routes()], allowed_origins=settings.allowed_origins
        )
        try:
            all_chores = {**chores, "revocations": revocations.run}
            sockets = ways_in.sockets if duties.gateway else None
            yield Program(app, sockets, drain, scheduling.workers, all_chores, scheduling.restored, base.metrics)
        finally:
            await use_cases.acceptance.close()


async def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    duties: Duties = EVERYTHING,
    on_ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    open_log: OpenLog | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or `stop`, drain, and return the exit code; `on_ready` is given the URL.

    Raises OSError where the port is in use, and what `assembled` raises.
    """
    warn_of_plain_data(settings)
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    os.umask(0o077)  # what is kept is health data: for its owner only
    with closing(_listen(host, port)) as listener, _uncollected():
        url = f"http://{host}:{listener.getsockname()[1]}"
        async with (
            assembled(settings, url=url, duties=duties, open_log=open_log) as program,
            asyncio.TaskGroup() as side_tasks,
        ):
            running = [side_tasks.create_task(chore(), name=name) for name, chore in program.chores.items()]
            stall = StallLimits(
                write_deadline_seconds=settings.write_deadline_seconds,
                buffer_bytes=settings.unread_bytes,
                kernel_buffer_bytes=settings.kernel_unread_bytes,
            )
            # As many again as sockets, for HTTP and for those that are not told yet that there is no place.
            senders = SenderLimits(
                connections=2 * settings.max_connections,
                head_bytes=settings.head_bytes,
                url_bytes=settings.url_bytes,
                head_seconds=settings.head_seconds,
                body_seconds=settings.body_seconds + _LAST_WORD_SECONDS,
            )
            config = server_config(
                program.app,
                host=host,
                port=port,
                http_protocol=answer_guard(senders, stall, program.metrics, _sockets(settings, program, stall)),
                trusted_proxies=settings.trusted_proxies,
            )
            server = DrainingServer(config, partial(_drain, program, settings.drain_seconds))
            gc.freeze()
            gc.enable()  # built is all that was to be
            stopping = side_tasks.create_task(_stop(server, stop or asyncio.Event()), name="stop")
            with server.capture_signals():  # workers make calls already: a stop that comes now is an orderly one too
                await _restored(program, server)
                if on_ready is not None and not server.should_exit:
                    on_ready(url)
                await server.serve(sockets=[listener])  # told to stop before, it drains at once
            left = sum([await worker.drain(0) for worker in program.workers])
            if settings.shared:
                left = sum(await asyncio.gather(*(worker.hand_over() for worker in program.workers)))
            if left > 0:
                _logger.warning("calls_abandoned", count=left, note="taken up at the next start, or by another worker")
            for task in (*running, stopping):
                task.cancel()
    return 0


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage is looked for, until somebody turns that on or the end: what a start builds stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _sockets(settings: Settings, program: Program, stall: StallLimits) -> Sockets:
    terms = socket_terms(
        program.metrics,
        stall=stall,
        message_limit_bytes=settings.message_bytes,
        ping_seconds=settings.ping_seconds,
        pong_seconds=settings.pong_seconds,
    )
    return Sockets(program.sockets, terms, trusted_proxies=settings.trusted_proxies)


async def _restored(program: Program, server: DrainingServer) -> None:
    """Wait until what instances share was read, or the server is to stop; where Redis is away, it goes without."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_RESTORE_SECONDS):
            # A signal's handler wakes nobody: it is looked for.
            while not (server.should_exit or all(restored.is_set() for restored in program.restored)):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_SECONDS)


async def _drain(program: Program, window_seconds: float) -> None:
    """Send clients elsewhere, one after another, while the calls under way have time to end."""
    async with asyncio.TaskGroup() as all_of_it:
        all_of_it.create_task(program.drain.run(), name="drain sockets")
        for worker in program.workers:
            all_of_it.create_task(worker.drain(window_seconds), name="drain calls")


async def _stop(server: DrainingServer, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


def build_schema_for_printing() -> strawberry.Schema:
    """The schema as it is served, without anything behind it."""
    return build_schema(payloads=Payloads(metrics=Metrics(), new_id=random_id), development=True)


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
