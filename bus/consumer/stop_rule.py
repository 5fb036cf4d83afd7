"""When a consumer stops instead of making dead letters: a bad deploy must not empty a topic into them."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from msgspec import Struct


class StopReason(StrEnum):
    """Which limit the next dead letter would reach."""

    SHARE = "share"
    IN_A_ROW = "in_a_row"


class DeadLetterLimit(Struct, frozen=True, kw_only=True):
    """How much may be poison. Defaults as arroyo's, which has both limits."""

    share: float = 0.2
    """Of the last `window` events that ended, no more than this share become dead letters ..."""
    window: int = 1000
    minimum: int = 100
    """... counted from so many events on."""
    in_a_row: int = 50
    """So many in a row never become dead letters."""


class StopRule:
    """Counts how events end, in the order they end."""

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._dead: deque[bool] = deque(maxlen=limit.window)
        self._dead_count = 0
        self._run = 0

    def handled(self) -> None:
        """An event was handled."""
        self._run = 0
        if self._dead_count:
            self._count(dead=False)
        else:
            # Nothing that leaves the window counts: the usual case, and worth being quick.
            self._dead.append(False)

    def bury(self) -> StopReason | None:
        """Ask for a dead letter. None: it may be, and is counted; else why the consumer has to stop."""
        if self._run + 1 >= self._limit.in_a_row:
            return StopReason.IN_A_ROW
        evicted = self._dead[0] if len(self._dead) == self._limit.window else False
        ended = min(len(self._dead) + 1, self._limit.window)
        if ended >= self._limit.minimum and self._dead_count - evicted + 1 > self._limit.share * ended:
            return StopReason.SHARE
        self._run += 1
        self._count(dead=True)
        return None

    def forget(self) -> None:
        """Begin again: somebody looked, and decided to go on."""
        self._dead.clear()
        self._dead_count = self._run = 0

    def _count(self, *, dead: bool) -> None:
        if len(self._dead) == self._limit.window:
            self._dead_count -= self._dead[0]
        self._dead.append(dead)
        self._dead_count += dead
