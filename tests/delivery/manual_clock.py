"""A clock that tests move."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class ManualClock:
    """Stands still until a test advances it; sleepers wake when their moment comes."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._wall_offset = timedelta()
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self._elapsed) + self._wall_offset

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = (self._elapsed + seconds, asyncio.Event())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds
        for due, event in self._sleepers:
            if due <= self._elapsed:
                event.set()

    def jump_wall(self, by: timedelta) -> None:
        self._wall_offset += by

    @property
    def sleeping(self) -> int:
        return len(self._sleepers)
