"""Keeping events no longer than they may be kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog

from bus.clock import Clock
from bus.errors import LogUnavailable
from bus.events import Topic
from bus.log import OrderedLog

KEPT: Final = dict.fromkeys(Topic, timedelta(days=30))
"""How long each topic's events are kept unless a setting says otherwise."""
_EVERY_SECONDS: Final = 3600.0

_log = structlog.get_logger(__name__)


class Retention:
    """Deletes each topic's events when they are older than that topic keeps them."""

    def __init__(
        self,
        log: OrderedLog,
        clock: Clock,
        kept: Mapping[Topic, timedelta] = KEPT,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._log = log
        self._clock = clock
        self._kept = kept
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Delete now and again, until cancelled; a log that is away is tried again the next time."""
        while True:
            try:
                await self.delete_expired()
            except LogUnavailable as error:
                _log.warning("retention postponed", reason=str(error))
            await self._clock.sleep(self._every_seconds)

    async def delete_expired(self) -> int:
        """Delete what is too old now; how many events went."""
        now = self._clock.now()
        deleted = 0
        for topic, kept in self._kept.items():
            deleted += await self._log.delete_before(topic, now - kept)
        if deleted:
            _log.info("expired events deleted", events=deleted)
        return deleted
