"""Fills the coverage cache from the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from bus.coverage import Coverage
from bus.events import Answered, Completed, Event, Recorded
from bus.ids import TenantId
from warming.cache import CoverageCache
from warming.errors import CacheUnavailable

_LOG: Final = structlog.get_logger(__name__)
_REREAD_AT_MOST: Final = 1_000
"""Events without an answer that a start may read again: noting each batch of them would cost a write each."""


class CoverageView:
    """A sink for `rte.events`: every coverage a payer gave, also to nobody who still waited, goes into the cache.

    Repeats and reordering do no harm: the cache keeps the newest answer by when it was obtained. An event that the
    fold passes over still carries a true answer, so the fold is not asked. Rejections are no coverage.

    A cache that cannot be written holds nobody up: what it missed costs a call, and the next start reads it again.
    """

    def __init__(self, cache: CoverageCache) -> None:
        self._cache = cache
        self._noted = 0
        self._missed = False

    async def take(self, batch: Sequence[Recorded]) -> None:
        """Put the batch's answers into the cache, then note how far it has come."""
        if not batch:
            return
        answers = [answer for recorded in batch if (answer := _answer_in(recorded.event)) is not None]
        position = max(recorded.position for recorded in batch)
        try:
            if answers:
                await self._cache.put_all(answers)
            if (answers or position >= self._noted + _REREAD_AT_MOST) and not self._missed:
                await self._cache.advance(position)
                self._noted = position
        except CacheUnavailable as error:
            if not self._missed:
                _LOG.warning("coverage_cache_misses_answers", reason=str(error))
            self._missed = True


def _answer_in(event: Event) -> tuple[TenantId, str, Coverage] | None:
    data = event.data
    if not isinstance(data, Completed | Answered) or data.coverage is None or event.tenant_id is None:
        return None
    return event.tenant_id, data.question_key, data.coverage
