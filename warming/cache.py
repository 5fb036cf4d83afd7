"""The port to the coverage cache: a bounded view of the log's answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bus.coverage import Coverage
from bus.ids import TenantId


class CoverageCache(Protocol):
    """Answers by `Question.key`. May lose anything at any time: it is rebuilt from the log, and a loss costs a call."""

    async def get(self, tenant_id: TenantId, question_key: str) -> Coverage | None:
        """The newest answer known for the question, however old; None if there is none or it cannot be read."""
        ...

    async def put(self, tenant_id: TenantId, question_key: str, coverage: Coverage) -> bool:
        """Keep the answer unless a newer one (by `obtained_at`) is held; whether it was kept.

        Of two obtained at the same moment the one put later stays, so that taking the log's events again ends alike.
        Bounded: past its size the least recently obtained entries go. Raises CacheUnavailable.
        """
        ...

    async def put_all(self, answers: Sequence[tuple[TenantId, str, Coverage]]) -> None:
        """Put each (tenant, question's key, answer), in this order and faster than one by one: what a rebuild needs.

        Raises CacheUnavailable; some may then be in.
        """
        ...

    async def delete_before(self, time: datetime) -> int:
        """Delete what was obtained before `time`, so that nothing outlives the log's retention; how many went.

        Raises CacheUnavailable.
        """
        ...


class NotedCache(CoverageCache, Protocol):
    """One of a log with a single order, which knows how far it has come: a start reads on from there."""

    async def position(self) -> int:
        """The position in `rte.events` up to which the log's answers are in the cache; 0 for an empty cache."""
        ...

    async def advance(self, position: int) -> None:
        """Note that every answer up to `position` is in; never goes back. Raises CacheUnavailable."""
        ...
