"""Taking decisions in Redis: one script, one round trip each, and what becomes of an answer that never came."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from bus.errors import StateUnavailable
from bus.events import Priority
from bus.ids import NewId
from bus.redis.connection import reaching
from scheduler.policy import AdmissionPolicy

_PARTS: Final = (
    "state",
    "epoch",
    "slots",
    "payers",
    "fairness",
    "flights",
    "waits",
    "decisions",
    "picture",
)


_UNANSWERED: Final = 10_000
"""Decisions whose answers were lost that are remembered. Of a request that is left once, nobody may ever ask again."""


def script() -> str:
    """The whole script: its parts stand in the order in which they build on each other."""
    folder = Path(__file__).parent
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in _PARTS)


class SharedPolicy(Struct, frozen=True, kw_only=True):
    """What only matters where instances share the slots."""

    lag_seconds: float = 10.0
    """The latest writes that a failover may lose: not less than `min-replicas-max-lag`, or two seconds where only
    `appendfsync everysec` keeps them. An instance is granted nothing for so long after it joined."""
    silent_seconds: float = 30.0
    """An instance that was not heard of for so long is taken for dead: its requests are handed to others, its slots
    stay held."""


DEFAULT_SHARED: Final = SharedPolicy()


class Answer(Struct, frozen=True, array_like=True):
    """What the script says: of which epoch, what, and whether it decided at all."""

    epoch: str
    decided: msgspec.Raw
    done: bool


class Decisions:
    """One instance's line to the script.

    A decision whose answer was lost may have been taken. Whoever sends it again, be it the client or its caller later,
    sends it under the same name, and Redis gives the answer it kept: so a grant is not leaked with a lost answer, and
    the waiters of a settled call are not forgotten.
    """

    def __init__(
        self,
        client: Redis,
        policy: AdmissionPolicy,
        shared: SharedPolicy,
        *,
        prefix: str,
        new_id: NewId,
        callers_time: bool,
    ) -> None:
        self._client = client
        self._script = client.register_script(script())
        self._policy = _packed(policy, shared)
        self._prefix = prefix
        self._new_id = new_id
        self._callers_time = callers_time
        self._unanswered: dict[tuple[str, str], str] = {}
        self.instance = new_id()
        self.epoch = ""

    async def take(
        self, command: str, subject: str, arguments: dict[str, Any], now: float, *, kept: bool = False
    ) -> Answer:
        """Have it decided; `kept` where a second time must not have an effect of its own. Raises StateUnavailable."""
        asked = (command, subject)
        name = self._unanswered.pop(asked, None) or self._new_id()
        try:
            with reaching():
                return await self._run(command, name, {**arguments, "kept": kept}, now)
        except (StateUnavailable, asyncio.CancelledError):
            if kept:
                self._unanswered[asked] = name
                if len(self._unanswered) > _UNANSWERED:
                    del self._unanswered[next(iter(self._unanswered))]  # the oldest
            raise

    async def _run(self, command: str, name: str, arguments: dict[str, Any], now: float) -> Answer:
        time = repr(now) if self._callers_time else ""
        packed = msgspec.msgpack.encode(arguments)
        values = (command, time, self.instance, self.epoch, name, self._policy, packed)
        raw = await self._script(keys=[self._prefix], args=list(values))
        return msgspec.msgpack.decode(raw, type=Answer)


def _packed(policy: AdmissionPolicy, shared: SharedPolicy) -> bytes:
    return msgspec.msgpack.encode(
        {
            "slots": policy.slots,
            "slots_per_payer": policy.slots_per_payer,
            "lease_seconds": policy.lease_seconds,
            "queue_limit": policy.queue_limit,
            "floors": [policy.floor(priority) for priority in Priority],
            "weights": dict(policy.weights),
            "failures": policy.breaker.failures,
            "run_seconds": policy.breaker.run_seconds,
            "open_seconds": policy.breaker.open_seconds,
            "lag_seconds": shared.lag_seconds,
            "silent_seconds": shared.silent_seconds,
        }
    )
