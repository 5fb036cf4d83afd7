"""A piece of work that one instance does at a time: whoever holds the lease, until they stop renewing it.

The lease only saves the others the same work. What a former holder still writes after its lease ended does no harm,
since every write to the views names the position that it continues: that is the fence.
"""

from __future__ import annotations

from redis.asyncio import Redis

from bus.clock import Clock
from bus.ids import NewId
from bus.redis.connection import reached
from bus.redis.scripts import EXTEND


class RedisLease:
    """Every method may raise StateUnavailable."""

    def __init__(self, redis: Redis, key: str, clock: Clock, new_id: NewId, *, seconds: float) -> None:
        """`seconds` after the last renewal it is free for others."""
        self._redis = redis
        self._key = key
        self._clock = clock
        self._owner = new_id()
        self._milliseconds = int(seconds * 1_000)
        self._renew_at = 0.0
        self._extend = redis.register_script(EXTEND)

    async def acquire(self) -> bool:
        """Whether it is ours now; False while another holds it."""
        held = await reached(self._redis.set(self._key, self._owner, nx=True, px=self._milliseconds))
        # Ours already, where the answer to the first try was lost on the way.
        return bool(held) or await self._extended(self._milliseconds)

    async def keep(self) -> bool:
        """To be called often; whether it is still ours. Asks Redis only where a third of the time has gone."""
        if self._clock.monotonic() < self._renew_at:
            return True
        return await self._extended(self._milliseconds)

    async def release(self) -> None:
        """Leave it to others; nothing where it is not ours any more."""
        await self._extended(0)

    async def _extended(self, milliseconds: int) -> bool:
        self._renew_at = self._clock.monotonic() + milliseconds / 3_000
        return bool(await reached(self._extend(keys=[self._key], args=[self._owner, milliseconds])))
