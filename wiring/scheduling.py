"""What calls payers: the client, the journal, admission, and the dispatcher between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx
from redis.asyncio import Redis

from bus.ids import random_id
from bus.redis.connection import reached
from bus.redis.eviction import watch_eviction
from bus.redis.lease import RedisLease
from payer.stedi import StediApi, StediClient
from scheduler.admission import Admission
from scheduler.dispatcher import Dispatcher
from scheduler.journal import Journal
from scheduler.memory_admission import MemoryAdmission
from scheduler.policy import AdmissionPolicy, BreakerPolicy
from scheduler.recovery import recover
from scheduler.redis.admission import RedisAdmission
from scheduler.redis.script import SharedPolicy
from scheduler.retries import RetryPolicy
from scheduler.upkeep import TURN_SECONDS, Upkeep
from scheduler.worker import Worker
from setting_kinds import LOOPBACK
from settings import Settings
from wiring.foundation import Foundation
from wiring.shared import SharedStore, views_whole
from wiring.store import Chore, Store

_PAYER_IDLE_SECONDS: Final = 4.0
"""Below the keep-alive of servers, so that no call is sent on a connection that is just being closed."""


class Scheduling(NamedTuple):
    """What requests meet, and what makes their calls."""

    dispatcher: Dispatcher
    workers: Sequence[Worker]
    chores: Mapping[str, Chore]
    """By name; to be run while the program does."""
    restored: Sequence[asyncio.Event] = ()
    """Set, while the chores run, when this process has read what others share with it. A request that comes earlier is
    accepted, but may wait for a lease's time: nobody can know then that no call is under way."""


def admission_policy(settings: Settings) -> AdmissionPolicy:
    """The numbers that admission decides by."""
    return AdmissionPolicy(
        slots=settings.slots,
        slots_per_payer=settings.slots_per_payer,
        lease_seconds=settings.lease_seconds,
        queue_limit=settings.queue_limit,
        breaker=BreakerPolicy(open_seconds=settings.breaker_open_seconds),
    )


@asynccontextmanager
async def payer_client(base: Foundation) -> AsyncIterator[StediClient]:
    """The client of Stedi, or of the simulator."""
    settings = base.settings
    limits = httpx.Limits(max_connections=2 * settings.slots, keepalive_expiry=_PAYER_IDLE_SECONDS)
    # What a proxy is for lies beyond this machine; a simulator does not.
    beyond = urlsplit(settings.payer_url).hostname not in LOOPBACK
    async with httpx.AsyncClient(limits=limits, trust_env=beyond) as http:
        yield StediClient(
            http,
            base_url=settings.payer_url,
            api_key=settings.payer_api_key.get_secret_value(),
            api=StediApi(settings.stedi_api),
            timeout_seconds=settings.call_timeout_seconds,
            clock=base.clock,
        )


@asynccontextmanager
async def embedded_scheduling(base: Foundation, store: Store) -> AsyncIterator[Scheduling]:
    """The one worker of the one process; what an earlier life left open has been taken up."""
    async with payer_client(base) as payer:
        admission = MemoryAdmission(admission_policy(base.settings), random_id)
        journal = Journal(store.log, store.requests, base.clock, random_id, base.metrics)
        dispatcher = Dispatcher(journal=journal, admission=admission, clock=base.clock, metrics=base.metrics)
        worker = _worker(base, payer, journal, admission, dispatcher)
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


@asynccontextmanager
async def shared_scheduling(base: Foundation, shared: SharedStore, *, workers: int) -> AsyncIterator[Scheduling]:
    """A dispatcher for this process' own requests, and so many workers for everybody's calls."""
    async with AsyncExitStack() as stack:
        gateway = _desk(base, shared)
        stack.push_async_callback(gateway.dispatcher.later.cancel)
        chores: dict[str, Chore] = {
            "upkeep": gateway.upkeep.run,
            "eviction": lambda: watch_eviction(shared.redis, base.clock),
        }
        made, upkeeps = [], [gateway.upkeep]
        for number in range(1, workers + 1):
            payer = await stack.enter_async_context(payer_client(base))
            desk = _desk(base, shared)
            worker = _worker(base, payer, desk.journal, desk.admission, desk.dispatcher)
            chores |= {
                f"worker {number}": worker.run,
                f"news of worker {number}": worker.listen,
                f"upkeep of worker {number}": desk.upkeep.run,
            }
            made.append(worker)
            upkeeps.append(desk.upkeep)
        yield Scheduling(gateway.dispatcher, made, chores, [upkeep.restored for upkeep in upkeeps])


class _Desk(NamedTuple):
    """One part in what many decide together."""

    admission: Admission
    journal: Journal
    dispatcher: Dispatcher
    upkeep: Upkeep


def _desk(base: Foundation, shared: SharedStore) -> _Desk:
    clock, log, requests = base.clock, shared.log, shared.store.requests
    admission = RedisAdmission(
        shared.redis,
        admission_policy(base.settings),
        random_id,
        shared=SharedPolicy(lag_seconds=base.settings.redis_lag_seconds),
        prefix=_prefix(base.settings),
    )
    journal = Journal(log, requests, clock, random_id, base.metrics)
    shared.listeners.join(journal)
    dispatcher = Dispatcher(journal=journal, admission=admission, clock=clock, metrics=base.metrics)
    upkeep = Upkeep(
        log=log,
        requests=requests,
        journal=journal,
        admission=admission,
        dispatcher=dispatcher,
        views_whole=lambda: views_whole(shared),
        turn=RedisLease(shared.redis, shared.keys.sweep, clock, random_id, seconds=TURN_SECONDS),
        lease_seconds=base.settings.lease_seconds,
        shared_now=lambda: _time_of(shared.redis),
        clock=clock,
    )
    return _Desk(admission, journal, dispatcher, upkeep)


async def _time_of(redis: Redis) -> datetime:
    seconds, microseconds = await reached(redis.time())
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)


def _worker(
    base: Foundation, payer: StediClient, journal: Journal, admission: Admission, dispatcher: Dispatcher
) -> Worker:
    return Worker(
        dispatcher=dispatcher,
        journal=journal,
        admission=admission,
        payer=payer,
        longest_call_seconds=base.settings.call_timeout_seconds,
        retries=RetryPolicy(base.random),
        clock=base.clock,
        metrics=base.metrics,
    )


def _prefix(settings: Settings) -> str:
    """Slots are the account's, not the log's: another prefix is another Covey with an account of its own."""
    return f"{{covey}}:{settings.topic_prefix}admission"
