"""An indexed priority queue: things in the order of a rank that may change while they wait."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)
Rank = TypeVar("Rank", float, tuple[float, int])

_SPARE_ENTRIES = 64


class PriorityQueue(Generic[Item, Rank]):
    """Items by rank, the least first, equal ranks in the order they were put.

    Every operation is O(log n), amortised: an entry that was moved or discarded stays in the heap until it surfaces or
    outnumbers the live ones.
    """

    def __init__(self) -> None:
        self._entries: dict[Item, tuple[Rank, int, Item]] = {}
        self._heap: list[tuple[Rank, int, Item]] = []
        self._puts = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, item: object) -> bool:
        return item in self._entries

    def put(self, item: Item, rank: Rank) -> None:
        """Add the item, or move it to another rank."""
        held = self._entries.get(item)
        if held is not None and held[0] == rank:
            return
        self._puts += 1
        entry = (rank, self._puts, item)
        self._entries[item] = entry
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._entries) + _SPARE_ENTRIES:
            self._compact()

    def discard(self, item: Item) -> None:
        """Take the item out, if it is in."""
        self._entries.pop(item, None)
        if len(self._heap) > 2 * len(self._entries) + _SPARE_ENTRIES:
            self._compact()

    def first(self) -> tuple[Rank, Item] | None:
        """The item that comes first and its rank; None if there is none."""
        heap = self._heap
        while heap:
            rank, _, item = entry = heap[0]
            if self._entries.get(item) is entry:
                return rank, item
            heapq.heappop(heap)
        return None

    def first_rank(self) -> Rank | None:
        """The rank of the item that comes first."""
        first = self.first()
        return None if first is None else first[0]

    def pop_through(self, rank: Rank) -> Iterator[Item]:
        """Take out, one by one, what ranks up to and with `rank`."""
        while (first := self.first()) is not None and first[0] <= rank:
            self.discard(first[1])
            yield first[1]

    def _compact(self) -> None:
        self._heap = list(self._entries.values())
        heapq.heapify(self._heap)
