"""The views in a real Redis, under keys of the test's own, and a log whose events go into them at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from redis.asyncio import Redis

from bus.clock import Clock, SystemClock
from bus.events import Event, Recorded
from bus.fold import RequestState, RequestStatus
from bus.ids import MemberId, RequestId, TenantId, random_id
from bus.log import RequestPage
from bus.memory_log import MemoryLog
from bus.redis.connection import RedisAddress, reached, redis_client
from bus.redis.history import RedisHistory
from bus.redis.keys import RedisKeys
from bus.redis.requests import RedisRequests
from bus.redis.todo import Keeping
from bus.redis.values import RedisValues
from bus.redis.views import RedisViews
from bus.sealing import PlainSealer, Sealer

YEARS: Final = timedelta(days=3650)
"""The events of these tests are of a fixed day, which may be long ago by Redis' clock."""


class RedisWorld:
    """What several instances share; `views()` is one instance's sink."""

    def __init__(
        self, redis: Redis, *, sealer: Sealer | None = None, clock: Clock | None = None, keeping: Keeping | None = None
    ) -> None:
        self.redis = redis
        self.clock = clock or SystemClock()
        self.keeping = keeping or Keeping(retention=YEARS)
        self.keys = RedisKeys(random_id())
        self.values = RedisValues(sealer or PlainSealer())
        self.requests = RedisRequests(redis, self.keys, self.values)
        self.history = RedisHistory(redis, self.keys, self.values, self.clock, self.keeping)

    def views(self) -> RedisViews:
        return RedisViews(self.redis, self.keys, self.values, self.clock, keeping=self.keeping)

    async def forget(self) -> None:
        """Lose everything, as a Redis that was emptied."""
        held = [key async for key in self.redis.scan_iter(f"{self.keys.prefix}*", count=10_000)]
        if held:
            await self.redis.delete(*held)

    async def held(self) -> dict[bytes, object]:
        """Everything that lies in Redis, by key: to be compared."""
        keys = [key async for key in self.redis.scan_iter(f"{self.keys.prefix}*", count=10_000)]
        return {key: await self._value(key) for key in keys}

    async def _value(self, key: bytes) -> object:
        match await self.redis.type(key):
            case b"hash":
                return await reached(self.redis.hgetall(key.decode()))
            case b"zset":
                return await reached(self.redis.zrange(key, 0, -1, withscores=True))
            case b"stream":
                return await reached(self.redis.xrange(key))
            case kind:
                raise AssertionError(kind)


@asynccontextmanager
async def redis_world(url: str, **options: Any) -> AsyncIterator[RedisWorld]:
    """A world that leaves nothing behind."""
    async with redis_client(RedisAddress(url=url)) as redis:
        world = RedisWorld(redis, **options)
        yield world
        await world.forget()


class Counting:
    """A sink that remembers what it was given."""

    def __init__(self) -> None:
        self.taken: list[Recorded] = []

    async def take(self, batch: Sequence[Recorded]) -> None:
        self.taken += batch


class ViewedLog:
    """A log in memory, and the view of requests that lies in Redis."""

    def __init__(self, world: RedisWorld) -> None:
        self._log = MemoryLog("epoch1")
        self._requests = world.requests
        self._views = world.views()

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        written = await self._log.append(events, ids_are_new=ids_are_new)
        await self._views.take([recorded for recorded in written if recorded is not None])
        return written

    async def get(self, tenant_id: TenantId, request_id: RequestId) -> RequestState | None:
        return await self._requests.get(tenant_id, request_id)

    async def states(self, request_ids: Sequence[RequestId]) -> Sequence[RequestState]:
        return await self._requests.states(request_ids)

    async def page(
        self,
        tenant_id: TenantId,
        *,
        member_id: MemberId | None,
        statuses: frozenset[RequestStatus],
        first: int,
        before: int | None,
    ) -> RequestPage:
        return await self._requests.page(tenant_id, member_id=member_id, statuses=statuses, first=first, before=before)

    def open_requests(self) -> AsyncIterator[RequestState]:
        return self._requests.open_requests()

    async def people_asked_about(
        self, tenant_id: TenantId, member_id: MemberId, caller: str, since: datetime
    ) -> frozenset[str]:
        return await self._requests.people_asked_about(tenant_id, member_id, caller, since)

    async def calls_unaccounted(self, leased_after: datetime) -> Sequence[Recorded]:
        return await self._requests.calls_unaccounted(leased_after)


def recorded(events: Sequence[Event], *, after: int = 0, partition: int = 0) -> list[Recorded]:
    """The events as the log might give them."""
    return [
        Recorded(position=position, event=event, partition=partition)
        for position, event in enumerate(events, start=after + 1)
    ]
