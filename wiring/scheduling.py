"""What calls payers: the client, the journal, admission, and the dispatcher between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

from bus.ids import random_id
from payer.stedi import StediApi, StediClient
from scheduler.dispatcher import Dispatcher
from scheduler.journal import Journal
from scheduler.memory_admission import MemoryAdmission
from scheduler.policy import AdmissionPolicy, BreakerPolicy
from scheduler.recovery import recover
from scheduler.retries import RetryPolicy
from scheduler.worker import Worker
from setting_kinds import LOOPBACK
from settings import Settings
from wiring.foundation import Foundation
from wiring.store import Store

_PAYER_IDLE_SECONDS: Final = 4.0
"""Below the keep-alive of servers, so that no call is sent on a connection that is just being closed."""


class Scheduling(NamedTuple):
    """What requests meet, and what makes their calls."""

    dispatcher: Dispatcher
    worker: Worker


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
        worker = Worker(
            dispatcher=dispatcher,
            journal=journal,
            admission=admission,
            payer=payer,
            longest_call_seconds=base.settings.call_timeout_seconds,
            retries=RetryPolicy(base.random),
            clock=base.clock,
            metrics=base.metrics,
        )
        await recover(
            log=store.log,
            requests=store.requests,
            journal=journal,
            admission=admission,
            dispatcher=dispatcher,
            clock=base.clock,
            lease_seconds=base.settings.lease_seconds,
        )
        yield Scheduling(dispatcher, worker)
