"""Revocations of all instances, in Redis: told at once by a channel, kept in a sorted set until they may be forgotten.

Each instance knows them all. So what a Redis that was emptied has lost, the instances put back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import structlog
from redis.asyncio import Redis

from bus.clock import Clock
from bus.errors import StateUnavailable
from bus.redis.connection import reached, reaching
from delivery.revocation import Learner, Revoked

_LISTEN_SECONDS: Final = 5.0
"""After so long without news it is compared whether both sides hold as many: the channel may have been dead."""
_PAUSE_SECONDS: Final = 0.5

_KEEP: Final = """
-- Keep what is given, and tell it if asked to. KEYS: the set. ARGV: channel, or ''; then for each: its end, its JSON.
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1])
  if ARGV[1] ~= '' then redis.call('PUBLISH', ARGV[1], ARGV[i + 1]) end
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then redis.call('EXPIREAT', KEYS[1], last[2]) end
"""

_logger = structlog.get_logger(__name__)
_decoder: Final = msgspec.json.Decoder(Revoked)


class RedisRevocations:
    """A RevocationStore."""

    def __init__(self, redis: Redis, clock: Clock, *, prefix: str) -> None:
        """`prefix` is the same on all instances; not of one log, since tokens are of none."""
        self._redis = redis
        self._clock = clock
        self._key = f"{prefix}revocations"
        self._channel = f"{prefix}revocations:news"
        self._keep = redis.register_script(_KEEP)

    async def load(self) -> Sequence[Revoked]:
        """See RevocationStore."""
        return [_decoder.decode(one) for one in await reached(self._redis.zrange(self._key, 0, -1))]

    async def keep(self, revoked: Revoked) -> None:
        """See RevocationStore."""
        await self._write([revoked], self._channel)

    async def follow(self, learner: Learner) -> None:
        """See RevocationStore. A Redis that is away is tried again."""
        away = False
        while True:
            try:
                async with self._redis.pubsub() as news:
                    with reaching():
                        await news.subscribe(self._channel)
                    await self._compare(learner)
                    away = False
                    while True:
                        with reaching():
                            message = await news.get_message(ignore_subscribe_messages=True, timeout=_LISTEN_SECONDS)
                        if message is not None:
                            learner.learn([_decoder.decode(message["data"])])
                        elif await reached(self._redis.zcard(self._key)) != len(learner.known):
                            await self._compare(learner)
            except StateUnavailable as error:
                if not away:
                    _logger.warning("revocations_not_heard", reason=str(error))
                away = True
            await self._clock.sleep(_PAUSE_SECONDS)

    async def _compare(self, learner: Learner) -> None:
        held = await self.load()
        learner.learn_all(held)
        if lost := set(learner.known) - set(held):
            await self._write(lost, "")

    async def _write(self, revoked: Iterable[Revoked], channel: str) -> None:
        arguments: list[str | int | bytes] = [channel]
        for one in revoked:
            arguments += [one.until, msgspec.json.encode(one)]
        await reached(self._keep(keys=[self._key], args=arguments))
