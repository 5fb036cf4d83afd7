"""The coverage cache in Redis: one for all instances."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from bus.coverage import Coverage
from bus.errors import CoveyError, StateUnavailable
from bus.ids import TenantId
from bus.redis.connection import reached
from bus.redis.keys import RedisKeys, microseconds, tenant_name
from bus.sealing import Sealer
from warming.errors import CacheUnavailable

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Coverage)
_AT_ONCE: Final = 200
"""Answers a script puts, or deletes: Redis does nothing else meanwhile."""

_PUT: Final = """
-- Keep answers, each unless a newer one is held. KEYS: by age (sorted set), answers (hash).
-- ARGV: capacity, milliseconds until all may go; then for each: name, obtained (microseconds), answer.
-- Returns 1 where the last one was kept.
local ages, answers, capacity = KEYS[1], KEYS[2], tonumber(ARGV[1])
for i = 3, #ARGV, 3 do
  local held = redis.call('ZSCORE', ages, ARGV[i])
  if not held or tonumber(held) <= tonumber(ARGV[i + 1]) then
    redis.call('ZADD', ages, ARGV[i + 1], ARGV[i])
    redis.call('HSET', answers, ARGV[i], ARGV[i + 2])
    while redis.call('ZCARD', ages) > capacity do
      redis.call('HDEL', answers, redis.call('ZPOPMIN', ages)[1])
    end
  end
end
redis.call('PEXPIRE', ages, ARGV[2])
redis.call('PEXPIRE', answers, ARGV[2])
if redis.call('HGET', answers, ARGV[#ARGV - 2]) == ARGV[#ARGV] then return 1 end
return 0
"""
_DELETE: Final = """
-- Delete the oldest answers obtained before a time. KEYS: as above. ARGV: the time (microseconds), how many at most.
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(gone) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
end
return #gone
"""


class RedisCoverageCache:
    """A `CoverageCache`. What is read and cannot be used, or not reached, is no answer; it costs a call.

    How far it has come is not noted here: the views tell what was taken (`RedisViews`), and the cache is given every
    event before they are.
    """

    def __init__(
        self, redis: Redis, keys: RedisKeys, sealer: Sealer, *, retention: timedelta, capacity: int = 100_000
    ) -> None:
        """`capacity` is in entries; a cache into which nothing was put for the time of `retention` goes as a whole."""
        self._redis = redis
        self._sealer = sealer
        self._capacity = capacity
        self._milliseconds = int(retention.total_seconds() * 1_000)
        self._ages = f"{keys.prefix}coverage-ages"
        self._answers = f"{keys.prefix}coverage"
        self._put_script = redis.register_script(_PUT)
        self._delete_script = redis.register_script(_DELETE)

    async def get(self, tenant_id: TenantId, question_key: str) -> Coverage | None:
        with contextlib.suppress(CoveyError, msgspec.DecodeError):
            kept = await reached(self._redis.hget(self._answers, _name(tenant_id, question_key)))
            return None if kept is None else _DECODER.decode(self._sealer.unseal(tenant_id, kept))
        return None

    async def put(self, tenant_id: TenantId, question_key: str, coverage: Coverage) -> bool:
        return await self._put([(tenant_id, question_key, coverage)])

    async def put_all(self, answers: Sequence[tuple[TenantId, str, Coverage]]) -> None:
        for first in range(0, len(answers), _AT_ONCE):
            await self._put(answers[first : first + _AT_ONCE])

    async def delete_before(self, time: datetime) -> int:
        total, some = 0, _AT_ONCE
        while some == _AT_ONCE:
            some = await _kept(
                self._delete_script(keys=[self._ages, self._answers], args=[microseconds(time), _AT_ONCE])
            )
            total += some
        return total

    async def _put(self, answers: Sequence[tuple[TenantId, str, Coverage]]) -> bool:
        arguments: list[str | int | bytes] = [self._capacity, self._milliseconds]
        for tenant_id, question_key, coverage in answers:
            arguments.append(_name(tenant_id, question_key))
            arguments.append(microseconds(coverage.obtained_at))
            arguments.append(self._sealer.seal(tenant_id, _ENCODER.encode(coverage)))
        return bool(await _kept(self._put_script(keys=[self._ages, self._answers], args=arguments)))


def _name(tenant_id: TenantId, question_key: str) -> str:
    return f"{tenant_name(tenant_id)}:{question_key}"


async def _kept(command: Awaitable[Any]) -> Any:
    """What Redis answers. Raises CacheUnavailable."""
    try:
        return await reached(command)
    except StateUnavailable as error:
        raise CacheUnavailable(f"The coverage cache cannot be written or read now. {error}") from error
