"""Keeping events no longer than they may be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from bus.clock import Clock
from bus.errors import CoveyError
from bus.events import Topic
from bus.log import OrderedLog

KEPT: Final = dict.fromkeys(Topic, timedelta(days=30))
"""How long each topic's events are kept unless a setting says otherwise."""
_EVERY_SECONDS: Final = 3600.0

_log = structlog.get_logger(__name__)


class Outliving(Protocol):
    """A view of the log's answers, which would keep them when the log no longer does."""

    async def delete_before(self, time: datetime) -> int:
        """Delete what was obtained before `time`; how many went. Raises a CoveyError where it cannot now."""
        ...


class Retention:
    """Deletes each topic's events when they are older than that topic keeps them, and what views made of them."""

    def __init__(
        self,
        log: OrderedLog,
        clock: Clock,
        kept: Mapping[Topic, timedelta] = KEPT,
        every_seconds: float = _EVERY_SECONDS,
        views: Sequence[Outliving] = (),
    ) -> None:
        self._log = log
        self._clock = clock
        self._kept = kept
        self._every_seconds = every_seconds
        self._views = views

    async def run(self) -> None:
        """Delete now and again, until cancelled; a log or a view that is away is tried again the next time."""
        while True:
            try:
                await self.delete_expired()
            except CoveyError as error:
                _log.warning("retention postponed", reason=str(error))
            await self._clock.sleep(self._every_seconds)

    async def delete_expired(self) -> int:
        """Delete what is too old now; how many events went."""
        now = self._clock.now()
        deleted = 0
        for topic, kept in self._kept.items():
            deleted += await self._log.delete_before(topic, now - kept)
        answers = 0
        for view in self._views:
            answers += await view.delete_before(now - self._kept[Topic.RTE])
        if deleted or answers:
            _log.info("expired events deleted", events=deleted, answers=answers)
        return deleted
