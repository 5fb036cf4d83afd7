"""Which offset of a partition may be committed while its records end in any order."""

from __future__ import annotations

from collections import deque


class OffsetTracker:
    """The records of one partition that were taken from it, until everything before them has ended too.

    Offsets are begun in rising order, as a partition gives them; they may leave gaps, as compacted and transactional
    topics do.
    """

    __slots__ = ("_begun", "_ended", "_next")

    def __init__(self) -> None:
        self._begun: deque[int] = deque()
        self._ended: set[int] = set()
        self._next: int | None = None

    def __len__(self) -> int:
        """How many records a restart would read again, those included that ended behind one that has not."""
        return len(self._begun)

    def begin(self, offset: int) -> None:
        self._begun.append(offset)

    def finish(self, offset: int) -> None:
        """The record needs no more work; it was begun before, and is finished once."""
        begun = self._begun
        if begun[0] != offset:
            self._ended.add(offset)
            return
        begun.popleft()
        while begun and begun[0] in self._ended:
            offset = begun.popleft()
            self._ended.remove(offset)
        self._next = offset + 1

    @property
    def committable(self) -> int | None:
        """The offset to read next after a restart: behind the lowest contiguous end. None while nothing ended."""
        return self._next

    @property
    def oldest(self) -> int | None:
        """The oldest record that has not ended, or what comes behind them all. None while nothing was begun."""
        return self._begun[0] if self._begun else self._next
