"""Admission in Redis: what each process does of what all decide and keep up together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from redis.asyncio import Redis

from bus.ids import random_id
from bus.redis.connection import reached
from bus.redis.eviction import watch_eviction
from bus.redis.lease import RedisLease
from scheduler.admission import Admission
from scheduler.dispatcher import Dispatcher
from scheduler.journal import Journal
from scheduler.redis.admission import RedisAdmission
from scheduler.redis.script import SharedPolicy
from scheduler.upkeep import TURN_SECONDS, Upkeep
from settings import Settings
from wiring.foundation import Foundation
from wiring.scheduling import Scheduling, admission_policy, worker_of
from wiring.shared import SharedStore, views_whole
from wiring.store import Chore


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
            # A gateway without workers does not wait for an HTTP client to be imported.
            from wiring.payer import payer_client  # noqa: PLC0415

            payer = await stack.enter_async_context(payer_client(base))
            desk = _desk(base, shared)
            worker = worker_of(base, payer, desk.journal, desk.admission, desk.dispatcher)
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


def _prefix(settings: Settings) -> str:
    """Slots are the account's, not the log's: another prefix is another Covey with an account of its own."""
    return f"{{covey}}:{settings.topic_prefix}admission"
