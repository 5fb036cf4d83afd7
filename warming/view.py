"""Fills the coverage cache from the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from bus.coverage import Coverage
from bus.events import Answered, Completed, Event, Recorded
from bus.ids import TenantId
from warming.cache import CoverageCache, NotedCache
from warming.errors import CacheUnavailable

_LOG: Final = structlog.get_logger(__name__)
_REREAD_AT_MOST: Final = 1_000
"""Events without an answer that a start may read again: noting each batch of them would cost a write each."""


class CoverageAnswers:
    """A sink for `rte.events`: every coverage a payer gave, also to nobody who still waited, goes into the cache.

    Repeats and reordering do no harm: the cache keeps the newest answer by when it was obtained. An event that the
    fold passes over still carries a true answer, so the fold is not asked. Rejections are no coverage.

    A cache that cannot be written holds nobody up: what it missed costs a call. Each outage is logged once.
    """

    def __init__(self, cache: CoverageCache) -> None:
        self._cache = cache
        self._away = False

    async def take(self, batch: Sequence[Recorded]) -> None:
        """Put the batch's answers into the cache."""
        try:
            await self._put(batch)
        except CacheUnavailable as error:
            if not self._away:
                _LOG.warning("coverage_cache_misses_answers", reason=str(error))
            self._away = True

    async def _put(self, batch: Sequence[Recorded]) -> bool:
        """Whether there was something to put."""
        answers = [answer for recorded in batch if (answer := _answer_in(recorded.event)) is not None]
        if answers:
            await self._cache.put_all(answers)
            self._away = False
        return bool(answers)


class CoverageView(CoverageAnswers):
    """The same for a cache that notes how far it has come: what it missed is read again by the next start."""

    def __init__(self, cache: NotedCache) -> None:
        super().__init__(cache)
        self._noting = cache
        self._noted = 0
        self._missed = False

    async def _put(self, batch: Sequence[Recorded]) -> bool:
        try:
            some = await super()._put(batch)
            position = max((recorded.position for recorded in batch), default=0)
            if not self._missed and (some or position >= self._noted + _REREAD_AT_MOST):
                await self._noting.advance(position)
                self._noted = position
        except CacheUnavailable:
            self._missed = True
            raise
        return some


def _answer_in(event: Event) -> tuple[TenantId, str, Coverage] | None:
    data = event.data
    if not isinstance(data, Completed | Answered) or data.coverage is None or event.tenant_id is None:
        return None
    return event.tenant_id, data.question_key, data.coverage
