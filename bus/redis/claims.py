"""Claims in Redis: the first of any instances has an id for some time."""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis

from bus.ids import RequestId
from bus.redis.connection import reached
from bus.redis.keys import RedisKeys

_KEPT_SECONDS: Final = 600
"""An append is given up after five seconds; its event is in the views within a second, after a loss of Redis' data when
they are filled again, which takes minutes. From then on they tell whose the id is."""


class RedisClaims:
    """See Claims. A fingerprint is a hash, no health data."""

    def __init__(self, redis: Redis, keys: RedisKeys) -> None:
        self._redis = redis
        self._keys = keys

    async def claim(self, request_id: RequestId, fingerprint: str) -> str:
        """See Claims. Again by the same submission, as where an answer was lost, it is theirs still."""
        first = await reached(
            self._redis.set(self._keys.claim(request_id), fingerprint, nx=True, get=True, ex=_KEPT_SECONDS)
        )
        return fingerprint if first is None else str(first.decode())
