"""Fills the coverage cache from the log."""

from __future__ import annotations

from collections.abc import Sequence

from bus.coverage import Coverage
from bus.events import Answered, Completed, Event, Recorded
from bus.ids import TenantId
from warming.cache import CoverageCache


class CoverageView:
    """A sink for `rte.events`: every coverage a payer gave, also to nobody who still waited, goes into the cache.

    Repeats and reordering do no harm: the cache keeps the newest answer by when it was obtained. An event that the
    fold passes over still carries a true answer, so the fold is not asked. Rejections are no coverage.
    """

    def __init__(self, cache: CoverageCache) -> None:
        self._cache = cache

    async def take(self, batch: Sequence[Recorded]) -> None:
        """Put the batch's answers into the cache, then note how far it has come.

        Raises CacheUnavailable: the whole batch may be given again.
        """
        answers = [answer for recorded in batch if (answer := _answer_in(recorded.event)) is not None]
        if answers:
            await self._cache.put_all(answers)
        if batch:
            await self._cache.advance(max(recorded.position for recorded in batch))


def _answer_in(event: Event) -> tuple[TenantId, str, Coverage] | None:
    data = event.data
    if not isinstance(data, Completed | Answered) or data.coverage is None or event.tenant_id is None:
        return None
    return event.tenant_id, data.question_key, data.coverage
