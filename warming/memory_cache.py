"""The coverage cache in memory: for tests and benchmarks, and the measure of the other adapters."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from datetime import datetime

from bus.coverage import Coverage
from bus.ids import TenantId

_Age = tuple[datetime, TenantId, str]


class MemoryCache:
    """A `CoverageCache` that ends with its process."""

    def __init__(self, *, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._entries: dict[tuple[TenantId, str], Coverage] = {}
        self._oldest_first: list[_Age] = []
        self._position = 0

    async def get(self, tenant_id: TenantId, question_key: str) -> Coverage | None:
        return self._entries.get((tenant_id, question_key))

    async def put(self, tenant_id: TenantId, question_key: str, coverage: Coverage) -> bool:
        held = self._entries.get((tenant_id, question_key))
        if held is not None:
            if held.obtained_at > coverage.obtained_at:
                return False
            del self._oldest_first[bisect.bisect_left(self._oldest_first, (held.obtained_at, tenant_id, question_key))]
        self._entries[tenant_id, question_key] = coverage
        bisect.insort(self._oldest_first, (coverage.obtained_at, tenant_id, question_key))
        self._forget(len(self._entries) - self._capacity)
        return (tenant_id, question_key) in self._entries

    async def put_all(self, answers: Sequence[tuple[TenantId, str, Coverage]]) -> None:
        for tenant_id, question_key, coverage in answers:
            await self.put(tenant_id, question_key, coverage)

    async def position(self) -> int:
        return self._position

    async def advance(self, position: int) -> None:
        self._position = max(self._position, position)

    async def delete_before(self, time: datetime) -> int:
        older = bisect.bisect_left(self._oldest_first, time, key=lambda age: age[0])
        self._forget(older)
        return older

    def _forget(self, count: int) -> None:
        for _, tenant_id, question_key in self._oldest_first[: max(count, 0)]:
            del self._entries[tenant_id, question_key]
        del self._oldest_first[: max(count, 0)]
