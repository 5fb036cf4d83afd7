"""Members' history in Redis: their events by member and by request, as `RedisViews` keeps them."""

from __future__ import annotations

from redis.asyncio import Redis

from bus.clock import Clock
from bus.history import History
from bus.ids import MemberId, RequestId, TenantId
from bus.redis.connection import reached, reaching
from bus.redis.keys import RedisKeys, hour, position_of, stream_id
from bus.redis.scripts import OF_REQUEST
from bus.redis.todo import Keeping
from bus.redis.values import RedisValues


class RedisHistory:
    """A `MemberHistory`. Tells honestly what it holds: the stretch ends where the views stand, and begins behind what
    was trimmed, has expired, or was gone from the log already when the views were filled.
    """

    def __init__(self, redis: Redis, keys: RedisKeys, values: RedisValues, clock: Clock, keeping: Keeping) -> None:
        self._redis = redis
        self._keys = keys
        self._values = values
        self._clock = clock
        self._keeping = keeping
        self._of_request = redis.register_script(OF_REQUEST)

    async def of_member(
        self, tenant_id: TenantId, member_id: MemberId, partition: int, *, after: int, limit: int
    ) -> History:
        stream = self._keys.events(partition, tenant_id, member_id)
        kept_since = hour(self._clock.now() - self._keeping.retention)
        with reaching():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hmget(self._keys.progress(partition), ["after", "through"])
                pipeline.zrangebyscore(self._keys.marks(partition), kept_since, "+inf", start=0, num=1)
                pipeline.xlen(stream)
                pipeline.xrange(stream, count=1)
                pipeline.xrange(stream, min=f"({stream_id(after)}", count=limit)
                (began, through), marks, length, oldest, found = await pipeline.execute()
        through = int(through or 0)
        # Without such a mark no event is so young: whatever there was may have expired.
        begin = max(int(began or 0), int(marks[0]) if marks else through, after)
        if length >= self._keeping.events_per_member and oldest:
            begin = max(begin, position_of(oldest[0][0]) - 1)
        events = tuple(
            self._values.recorded(tenant_id, fields[b"e"]) for id_, fields in found if position_of(id_) > begin
        )
        if len(found) == limit:
            through = position_of(found[-1][0])
        return History(events=events, after=begin, through=through)

    async def of_request(self, request_id: RequestId, *, after: int = 0) -> History | None:
        found = await reached(self._of_request(keys=[self._keys.request(request_id)], args=[self._keys.all_progress]))
        if found is None:
            return None
        tenant, count, through, entries = found
        tenant_id = TenantId(tenant.decode())
        events = [self._values.recorded(tenant_id, kept[1]) for _, kept in entries]
        own = [recorded for recorded in events if recorded.event.request_id == request_id]
        if len(own) != int(count):
            return None  # some were trimmed, or have expired
        behind = tuple(recorded for recorded in own if recorded.position > after)
        return History(events=behind, after=after, through=int(through))
