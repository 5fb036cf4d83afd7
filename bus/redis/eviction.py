"""Whether Redis may throw keys away: Covey would then lose slots, or parts of its views, without being told."""

from __future__ import annotations

from typing import Final

import structlog
from redis.asyncio import Redis

from bus.clock import Clock
from bus.errors import StateUnavailable
from bus.redis.connection import reached

LOOK_SECONDS: Final = 60.0
"""How often it is looked at, since it can be changed while Redis runs."""
_KEEPS_ALL: Final = "noeviction"

_logger = structlog.get_logger(__name__)


async def eviction(redis: Redis) -> str | None:
    """What is wrong and how to mend it, in words for operators; None where Redis keeps what it is given.

    INFO says it, which a user without the right to read the configuration may ask. Raises StateUnavailable.
    """
    policy = (await reached(redis.info("memory"))).get("maxmemory_policy", _KEEPS_ALL)
    if policy == _KEEPS_ALL:
        return None
    return (
        f"Redis throws keys away when its memory is full (maxmemory-policy {policy}), and Covey would lose track of "
        f"slots and history: set maxmemory-policy {_KEEPS_ALL} in its configuration, and now: "
        f"redis-cli config set maxmemory-policy {_KEEPS_ALL}"
    )


async def watch_eviction(redis: Redis, clock: Clock) -> None:
    """For ever: warn once where Redis may throw keys away, and again only after that was mended meanwhile."""
    warned = False
    while True:
        try:
            wrong = await eviction(redis)
        except StateUnavailable:
            pass  # told by all that need it; looked at again
        else:
            if wrong is not None and not warned:
                _logger.warning("redis_may_evict", reason=wrong)
            warned = wrong is not None
        await clock.sleep(LOOK_SECONDS)
