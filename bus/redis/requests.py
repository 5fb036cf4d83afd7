"""The status of requests in Redis: the same on every instance, as `RedisViews` keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

from redis.asyncio import Redis

from bus.events import Recorded
from bus.fold import RequestState, RequestStatus
from bus.ids import CallId, MemberId, RequestId, TenantId
from bus.log import RequestPage
from bus.redis.connection import reached, reaching
from bus.redis.keys import RedisKeys, bound, by_position, microseconds, place_of, request_of
from bus.redis.values import RedisValues

_AT_ONCE: Final = 500
_FILTERED_AT_ONCE: Final = 100


class RedisRequests:
    """A `RequestView`: what `RedisViews` keeps, for every instance alike.

    Listings go by the time of submission: positions of two partitions tell nothing of each other.
    """

    def __init__(self, redis: Redis, keys: RedisKeys, values: RedisValues) -> None:
        self._redis = redis
        self._keys = keys
        self._values = values

    async def get(self, tenant_id: TenantId, request_id: RequestId) -> RequestState | None:
        found = await self.states([request_id])
        return found[0] if found and found[0].tenant_id == tenant_id else None

    async def states(self, request_ids: Sequence[RequestId]) -> Sequence[RequestState]:
        found: list[RequestState] = []
        for first in range(0, len(request_ids), _AT_ONCE):
            with reaching():
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for request_id in request_ids[first : first + _AT_ONCE]:
                        pipeline.hmget(self._keys.request(request_id), ["t", "s"])
                    kept = await pipeline.execute()
            found += [self._values.state(TenantId(tenant.decode()), value) for tenant, value in kept if value]
        return found

    async def page(
        self,
        tenant_id: TenantId,
        *,
        member_id: MemberId | None,
        statuses: frozenset[RequestStatus],
        first: int,
        before: int | None,
    ) -> RequestPage:
        if member_id is None:
            lists = [self._keys.of_tenant(tenant_id, status) for status in statuses or RequestStatus]
        else:
            lists = [self._keys.of_member(tenant_id, member_id)]
        entries: list[str] = []
        states: list[RequestState] = []
        while len(states) <= first:
            some = await self._newest(lists, before, max(first + 1, _FILTERED_AT_ONCE))
            if not some:
                break
            before = place_of(some[-1])
            by_id = {state.request_id: state for state in await self.states([request_of(one) for one in some])}
            for one in some:
                state = by_id.get(request_of(one))
                # One that moved on between the two looks is left out where it no longer belongs.
                if state is not None and (not statuses or state.status in statuses):
                    entries.append(one)
                    states.append(state)
        return RequestPage(
            requests=tuple(states[:first]),
            places=tuple(place_of(one) for one in entries[:first]),
            has_next=len(states) > first,
        )

    async def open_requests(self) -> AsyncIterator[RequestState]:
        """See the port. One that ends while this runs may be left out; one that begins meanwhile may come or not."""
        start = "-"
        while True:
            some = await reached(self._redis.zrangebylex(self._keys.open, start, "+", start=0, num=_AT_ONCE))
            if not some:
                return
            start = f"({some[-1].decode()}"
            for state in await self.states([request_of(one.decode()) for one in some]):
                if not state.status.terminal:
                    yield state

    async def people_asked_about(
        self, tenant_id: TenantId, member_id: MemberId, caller: str, since: datetime
    ) -> frozenset[str]:
        people = self._keys.people(tenant_id, member_id, caller)
        found = await reached(self._redis.zrangebyscore(people, microseconds(since), "+inf"))
        return frozenset(person.decode() for person in found)

    async def calls_unaccounted(self, leased_after: datetime) -> Sequence[Recorded]:
        ids = await reached(self._redis.zrangebyscore(self._keys.calls, f"({microseconds(leased_after)}", "+inf"))
        with reaching():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for call_id in ids:
                    pipeline.hmget(self._keys.call(CallId(call_id.decode())), ["t", "b"])
                kept = await pipeline.execute()
        started = [self._values.recorded(TenantId(tenant.decode()), value) for tenant, value in kept if value]
        return sorted(started, key=by_position)

    async def _newest(self, lists: Sequence[str], before: int | None, count: int) -> list[str]:
        """Entries of the lists together that stand before the place, newest first."""
        end = "+" if before is None else f"({bound(before)}"
        with reaching():
            async with self._redis.pipeline(transaction=True) as pipeline:
                for key in lists:
                    pipeline.zrevrangebylex(key, end, "-", start=0, num=count)
                found = await pipeline.execute()
        return sorted((one.decode() for entries in found for one in entries), reverse=True)[:count]
