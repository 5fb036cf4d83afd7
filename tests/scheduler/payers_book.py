"""A worker as a process of its own, and the payer's book that all of them write to: who is in flight, by its count.

    python -m tests.scheduler.payers_book URL PREFIX

Grants itself slots and makes calls that last a moment, until it is killed. The payer goes on counting for as long as
the call lasts, whatever became of the worker.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from random import Random
from time import monotonic
from typing import Final

from redis.asyncio import Redis

from bus.errors import StateUnavailable
from bus.ids import random_id
from bus.redis.connection import RedisAddress, redis_client
from scheduler.admission import CallEnd, Grant
from scheduler.policy import AdmissionPolicy
from scheduler.redis.admission import RedisAdmission
from scheduler.redis.script import SharedPolicy
from tests.scheduler.asks import ask

POLICY: Final = AdmissionPolicy(slots=6, slots_per_payer=6, lease_seconds=1.5, queue_limit=10**6)
SHARED: Final = SharedPolicy(lag_seconds=0.2, silent_seconds=0.6)
LONGEST_CALL_SECONDS: Final = 1.0
_BOOK: Final = """
-- One more call, for so long: how many are in flight. KEYS: calls by their end. ARGV: call, seconds.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local counted = redis.call('ZCARD', KEYS[1])
redis.call('HINCRBY', KEYS[1] .. ':seen', counted, 1)
return counted
"""


async def work(url: str, prefix: str) -> None:
    """Until killed."""
    random = Random()
    async with redis_client(RedisAddress(url=url)) as client:
        admission = RedisAdmission(client, POLICY, random_id, shared=SHARED, prefix=prefix)
        calls: set[asyncio.Task[None]] = set()
        heartbeat = asyncio.create_task(renew(admission))
        while not heartbeat.done():
            with suppress(StateUnavailable):
                wanted = ask(random_id(), tenant=random.choice("abc"), deadline=monotonic() + 60.0)
                await admission.offer(wanted, monotonic())
                while (grant := await admission.grant(monotonic())) is not None:
                    seconds = random.uniform(0.05, LONGEST_CALL_SECONDS)
                    task = asyncio.create_task(call(client, admission, grant, prefix, seconds))
                    calls.add(task)
                    task.add_done_callback(calls.discard)
            await asyncio.sleep(0.02)


async def renew(admission: RedisAdmission) -> None:
    while True:
        with suppress(StateUnavailable):
            await admission.renew(monotonic())
        await asyncio.sleep(0.2)


async def call(client: Redis, admission: RedisAdmission, grant: Grant, prefix: str, seconds: float) -> None:
    if grant.lease_expires - monotonic() < LONGEST_CALL_SECONDS:
        await admission.settle(grant.call_id, CallEnd.NOT_MADE, monotonic())
        return
    await client.eval(_BOOK, 1, f"{prefix}:book", grant.call_id, seconds)
    await asyncio.sleep(seconds)
    await admission.settle(grant.call_id, CallEnd.ANSWERED, monotonic())


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
