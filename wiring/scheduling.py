"""What requests meet and what makes their calls, wherever admission is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scheduler.admission import Admission
from scheduler.dispatcher import Dispatcher
from scheduler.journal import Journal
from scheduler.policy import AdmissionPolicy, BreakerPolicy
from scheduler.retries import RetryPolicy
from scheduler.worker import Payer, Worker
from settings import Settings
from wiring.foundation import Foundation
from wiring.store import Chore


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


def worker_of(base: Foundation, payer: Payer, journal: Journal, admission: Admission, dispatcher: Dispatcher) -> Worker:
    """One that makes calls by `payer`."""
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
