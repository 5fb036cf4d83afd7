"""Calls at their time, for very many: one task sleeps for all of them, where one each would take two kilobytes."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import Final

from bus.clock import Clock

_FEW: Final = 64
"""Cancelled ones that are not worth clearing away."""


class Timer:
    """One call that is to come."""

    __slots__ = ("_call", "due")

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        """On the monotonic clock."""
        self._call: Callable[[], None] | None = call

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due

    @property
    def cancelled(self) -> bool:
        return self._call is None

    def cancel(self) -> None:
        self._call = None

    def ring(self) -> None:
        """Call, unless it was cancelled; once."""
        call, self._call = self._call, None
        if call is not None:
            call()


class Timers:
    """Those of many owners, who cancel what they need no more. Its task runs only while there are any."""

    def __init__(self, clock: Clock, *, grain_seconds: float = 0.0) -> None:
        """Calls that are due within a grain of each other come together, at its end."""
        self._clock = clock
        self._grain_seconds = grain_seconds
        self._due: list[Timer] = []
        self._cancelled = 0
        self._task: asyncio.Task[None] | None = None
        self._wakes_at = math.inf

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Have it called once, so many seconds from now, by the event loop."""
        due = self._clock.monotonic() + seconds
        if self._grain_seconds:
            due = math.ceil(due / self._grain_seconds) * self._grain_seconds
        timer = Timer(due, call)
        heapq.heappush(self._due, timer)
        if due < self._wakes_at:
            self._wake_anew()
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Not to be called any more. One that was called, or is none, changes nothing."""
        if timer is None or timer.cancelled:
            return
        timer.cancel()
        self._cancelled += 1
        if self._cancelled >= len(self._due) or self._cancelled > max(_FEW, len(self._due) // 2):
            self._due = [each for each in self._due if not each.cancelled]
            heapq.heapify(self._due)
            self._cancelled = 0
            if not self._due and self._task is not None:
                self._task.cancel()
                self._task, self._wakes_at = None, math.inf

    def _wake_anew(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._wakes_at = self._due[0].due
        self._task = asyncio.create_task(self._run(), name="timers")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._due:
            self._wakes_at = self._due[0].due
            await self._clock.sleep(self._wakes_at - self._clock.monotonic())
            # Loops count in milliseconds, and may wake as much too early.
            now = max(self._wakes_at, self._clock.monotonic())
            while self._due and self._due[0].due <= now:
                timer = heapq.heappop(self._due)
                if timer.cancelled:
                    self._cancelled -= 1
                else:
                    loop.call_soon(timer.ring)  # by itself: what one raises is not another's
        self._task, self._wakes_at = None, math.inf
