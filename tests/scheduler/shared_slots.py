"""Instances that share their slots in a real Redis, each test under a name of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from bus.ids import random_id
from bus.redis.connection import RedisAddress, redis_client
from scheduler.policy import AdmissionPolicy
from scheduler.redis.admission import RedisAdmission
from scheduler.redis.script import DEFAULT_SHARED, SharedPolicy

FOUNDED, JOINED = -1_000.0, -20.0
"""When a state begins and when instances join it: long enough before a test's time 0 for slots to be granted then."""


class SharedSlots:
    """Makes instances in virtual time: each decision is taken at its caller's `now`."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self._founded = False
        self.prefix = f"{{test-{random_id()}}}:admission"

    async def instance(
        self, policy: AdmissionPolicy, joined: float = JOINED, shared: SharedPolicy = DEFAULT_SHARED
    ) -> RedisAdmission:
        """One more, which joined then."""
        if not self._founded:
            self._founded = True
            await self.new(policy, shared).next_wakeup(FOUNDED)
        admission = self.new(policy, shared)
        await admission.grant(joined)
        return admission

    def new(self, policy: AdmissionPolicy, shared: SharedPolicy = DEFAULT_SHARED) -> RedisAdmission:
        """One that has not been heard of yet."""
        return RedisAdmission(self.client, policy, random_id, shared=shared, prefix=self.prefix, callers_time=True)

    async def forget(self) -> None:
        """As a server does that was emptied."""
        async for key in self.client.scan_iter(match=f"{self.prefix}:*", count=10_000):
            await self.client.delete(key)


@asynccontextmanager
async def shared_slots(url: str) -> AsyncIterator[SharedSlots]:
    """For one test; nothing is left of it."""
    async with redis_client(RedisAddress(url=url)) as client:
        slots = SharedSlots(client)
        try:
            yield slots
        finally:
            await slots.forget()
