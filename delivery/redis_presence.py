"""How many sockets who has on which instance, told to all instances through Redis.

Each instance registers its own counts and keeps them alive by a heartbeat; those of one that died go by themselves. It
is no view of the log: after a loss of Redis every instance's next heartbeat puts its part back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import structlog
from redis.asyncio import Redis

from bus.clock import Clock
from bus.errors import StateUnavailable
from bus.ids import TenantId, derived_id
from bus.redis.connection import reached
from bus.redis.keys import RedisKeys, tenant_name
from delivery.connections import Holder
from delivery.presence import InstanceSockets

_LOG: Final = structlog.get_logger(__name__)

_CLAIM: Final = """
-- Count an instance's sockets of some holders, each unless all instances together would have too many of its.
-- KEYS: instances, this instance's counts.
-- ARGV: instance, milliseconds it is kept, prefix of counts; then for each claim: holder, count, limit.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local instances = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
local answers, granted = {}, false
for i = 4, #ARGV, 3 do
  local total = tonumber(ARGV[i + 1])
  for _, other in ipairs(instances) do
    if other ~= ARGV[1] then total = total + tonumber(redis.call('HGET', ARGV[3] .. other, ARGV[i]) or '0') end
  end
  local within = total <= tonumber(ARGV[i + 2])
  if within then redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) granted = true end
  answers[#answers + 1] = within and 1 or 0
end
if granted then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return answers
"""
_BEAT: Final = """
-- Put an instance's counts in the place of what is held of it. KEYS: as above.
-- ARGV: instance, milliseconds it is kept (0: it leaves); then for each holder: name, count.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('DEL', KEYS[2])
if ARGV[2] == '0' then redis.call('ZREM', KEYS[1], ARGV[1]) return end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_LIST: Final = """
-- Every living instance with its counts. KEYS: instances. ARGV: prefix of counts.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for _, instance in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')) do
  found[#found + 1] = {instance, redis.call('HGETALL', ARGV[1] .. instance)}
end
return found
"""


_CLAIMS_AT_ONCE: Final = 100
"""In one script: it holds up Redis for less than a millisecond."""


class _Claim(NamedTuple):
    """A claim that waits for its answer."""

    holder: str
    sockets: int
    limit: int
    answer: asyncio.Future[bool]


class RedisPresence:
    """One instance's registration, and a look at all. Every method but `run` may raise StateUnavailable."""

    def __init__(
        self,
        redis: Redis,
        keys: RedisKeys,
        clock: Clock,
        instance: str,
        *,
        heartbeat_seconds: float = 5.0,
        kept_seconds: float = 20.0,
    ) -> None:
        """`instance` is a name that no other has; one not heard of for `kept_seconds` counts as dead."""
        self._clock = clock
        self._instance = instance
        self._heartbeat_seconds = heartbeat_seconds
        self._milliseconds = int(kept_seconds * 1_000)
        self._prefix = f"{keys.prefix}presence:"
        self._keys = [f"{keys.prefix}presence", f"{self._prefix}{instance}"]
        self._claim = redis.register_script(_CLAIM)
        self._beat = redis.register_script(_BEAT)
        self._list = redis.register_script(_LIST)
        self._claims: list[_Claim] = []
        self._asking: asyncio.Task[None] | None = None

    async def claim(self, holder: Holder, count: int, limit: int) -> bool:
        """Register `count` sockets of the holder here; False, changing nothing, where all instances together would
        then have more than `limit`. Again with the same count changes nothing, and so does a heartbeat.

        Claims that come while others are under way go together: in a storm a call each would be a fifth of the cost of
        a handshake.
        """
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._claims.append(_Claim(_name(holder), count, limit, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="presence claims")
        return await answer

    async def _ask(self) -> None:
        """Ask until nobody waits."""
        try:
            while self._claims:
                claims = [claim for claim in self._claims[:_CLAIMS_AT_ONCE] if not claim.answer.done()]
                del self._claims[:_CLAIMS_AT_ONCE]
                if not claims:  # their owners have given up
                    continue
                arguments: list[str | int] = [self._instance, self._milliseconds, self._prefix]
                for claim in claims:
                    arguments += claim[:3]
                try:
                    answers = await reached(self._claim(keys=self._keys, args=arguments))
                except Exception as error:  # theirs to handle, who asked
                    _settle(claims, error)
                else:
                    for claim, within in zip(claims, answers, strict=True):
                        if not claim.answer.done():
                            claim.answer.set_result(bool(within))
        finally:
            self._asking = None

    async def beat(self, counts: Mapping[Holder, int]) -> None:
        """Register all sockets of this instance, in the place of what was registered before, for `kept_seconds`."""
        arguments: list[str | int] = [self._instance, self._milliseconds]
        for holder, count in counts.items():
            arguments += [_name(holder), count]
        await reached(self._beat(keys=self._keys, args=arguments))

    async def leave(self) -> None:
        """This instance has no more sockets."""
        await reached(self._beat(keys=self._keys, args=[self._instance, 0]))

    async def of_tenant(self, tenant_id: TenantId) -> Sequence[InstanceSockets]:
        """Every living instance, by name, also those without a socket of the tenant."""
        found: list[InstanceSockets] = []
        own = tenant_name(tenant_id)
        for instance, counts in await reached(self._list(keys=self._keys[:1], args=[self._prefix])):
            by_kind: dict[str, int] = {}
            for name, count in zip(counts[::2], counts[1::2], strict=True):
                kind, tenant, _ = name.decode().split(":")
                if tenant == own:
                    by_kind[kind] = by_kind.get(kind, 0) + int(count)
            found.append(InstanceSockets(instance=instance.decode(), by_kind=by_kind))
        return sorted(found, key=lambda one: one.instance)

    async def run(self, counts: Callable[[], Mapping[Holder, int]]) -> None:
        """Beat for ever with what `counts` gives, and leave at the end. A Redis that is away is tried again."""
        away = False
        try:
            while True:
                try:
                    await self.beat(counts())
                    away = False
                except StateUnavailable as error:
                    if not away:
                        _LOG.warning("presence_not_registered", reason=str(error))
                    away = True
                await self._clock.sleep(self._heartbeat_seconds)
        finally:
            with suppress(StateUnavailable):
                await self.leave()


def _settle(claims: Sequence[_Claim], error: Exception) -> None:
    for claim in claims:
        if not claim.answer.done():
            claim.answer.set_exception(error)


def _name(holder: Holder) -> str:
    """The holder as Redis may know it: nobody's id is told."""
    return f"{holder.kind}:{tenant_name(holder.tenant_id)}:{derived_id('holder', holder.tenant_id, holder.name)}"
