"""The status of requests in Redis, brought up to what this process has read of the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from redis.asyncio import Redis

from bus.errors import LogUnavailable, StateUnavailable
from bus.events import Recorded
from bus.fold import RequestState, fold
from bus.ids import MemberId, RequestId, TenantId
from bus.people import person_asked_about
from bus.redis.keys import RedisKeys
from bus.redis.requests import RedisRequests
from bus.redis.values import RedisValues


class Newest(Protocol):
    """The newest events of the log in this process' memory, in the log's order; they may begin anywhere."""

    def of_request(self, request_id: RequestId) -> Sequence[Recorded] | None:
        """All of a request, or None where its first is not there."""
        ...

    def newest_of_request(self, request_id: RequestId) -> Sequence[Recorded]: ...

    def newest_of_member(self, tenant_id: TenantId, member_id: MemberId) -> Sequence[Recorded]: ...


class FreshRequests(RedisRequests):
    """The same, brought up to what this process has read of the log: whoever asks any instance about a request that
    was just accepted by another finds it. Redis is not asked about one that memory holds from its first event on. Nor
    is an unknown request said to be none while Redis lacks something.

    Listings and open requests are as Redis has them, which may be some milliseconds behind.
    """

    def __init__(
        self,
        redis: Redis,
        keys: RedisKeys,
        values: RedisValues,
        newest: Newest,
        *,
        caught_up: Callable[[], Awaitable[bool]],
        whole: Callable[[], Awaitable[bool]],
    ) -> None:
        """`caught_up` waits until this process has read what the log has now, if that takes no longer than it should;
        `whole` asks whether the views hold all that the log has."""
        super().__init__(redis, keys, values)
        self._in_memory = newest
        self._caught_up = caught_up
        self._whole = whole

    async def get(self, tenant_id: TenantId, request_id: RequestId) -> RequestState | None:
        state = await super().get(tenant_id, request_id)
        if state is not None:
            return state
        try:
            caught_up = await self._caught_up()
        except LogUnavailable:
            caught_up = False
        whole = await self._whole()
        state = await super().get(tenant_id, request_id)
        if state is None and not whole:
            raise StateUnavailable("Redis is being filled from the log.")
        if state is None and not caught_up:
            raise StateUnavailable("Whether there is such a request cannot be told now: newer events are not read yet.")
        return state

    async def states(self, request_ids: Sequence[RequestId]) -> Sequence[RequestState]:
        elsewhere = [request_id for request_id in request_ids if self._in_memory.of_request(request_id) is None]
        kept = {state.request_id: state for state in await super().states(elsewhere)} if elsewhere else {}
        fresh = (self._brought_up(request_id, kept.get(request_id)) for request_id in request_ids)
        return [state for state in fresh if state is not None]

    async def people_asked_about(
        self, tenant_id: TenantId, member_id: MemberId, caller: str, since: datetime
    ) -> frozenset[str]:
        kept = await super().people_asked_about(tenant_id, member_id, caller, since)
        newest = [
            one.event for one in self._in_memory.newest_of_member(tenant_id, member_id) if one.event.time >= since
        ]
        asked = (person_asked_about(event, tenant_id, member_id, caller) for event in newest)
        return kept.union(person for person in asked if person is not None)

    def _brought_up(self, request_id: RequestId, state: RequestState | None) -> RequestState | None:
        for recorded in self._in_memory.newest_of_request(request_id):
            state = fold(state, recorded) or state
        return state
