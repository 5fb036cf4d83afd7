"""Records that wait for their time: never early, whatever order they came in."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")


class DueQueue(Generic[T]):
    """Items by the wall time they are due at; of equal times in the order they came."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, T]] = []
        self._count = 0

    def add(self, due: datetime, item: T) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, item))

    @property
    def next_due(self) -> datetime | None:
        return self._heap[0][0] if self._heap else None

    def take(self, now: datetime) -> T | None:
        """An item that is due; None while none is."""
        return heapq.heappop(self._heap)[2] if self._heap and self._heap[0][0] <= now else None

    def drop(self, unwanted: Callable[[T], bool]) -> None:
        self._heap = [entry for entry in self._heap if not unwanted(entry[2])]
        heapq.heapify(self._heap)
