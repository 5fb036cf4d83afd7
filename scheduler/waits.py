"""How long calls take and waits will be: statistics of recent calls, and what they say of those that wait."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from typing import Final

from bus.events import Priority
from scheduler.flights import Forecast

_MEDIAN_FROM: Final = 5
"""Calls known before a median is believed."""
_RECENT_SECONDS: Final = 600.0
_SHORTEST_SECONDS: Final = 0.001


class Durations:
    """How long recent calls took: the last so many, none older than ten minutes.

    Forgetting by age matters: a payer that was slow, and is asked nothing that cannot wait so long, would else be
    slow for ever.
    """

    def __init__(self, size: int = 50) -> None:
        self._size = size
        self._samples: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []
        self._sum = 0.0

    def record(self, seconds: float, now: float) -> None:
        """A call that ended now took so long."""
        self._samples.append((now, seconds))
        insort(self._sorted, seconds)
        self._sum += seconds
        if len(self._samples) > self._size:
            self._forget_oldest()

    def mean(self, now: float) -> float | None:
        """None while nothing is known."""
        self._age(now)
        return self._sum / len(self._samples) if self._samples else None

    def median(self, now: float) -> float | None:
        """None while too little is known."""
        self._age(now)
        return self._sorted[len(self._sorted) // 2] if len(self._sorted) >= _MEDIAN_FROM else None

    def next_change(self, now: float) -> float | None:
        """When the oldest is forgotten, if nothing is recorded; None if nothing is known."""
        self._age(now)
        return self._samples[0][0] + _RECENT_SECONDS if self._samples else None

    def _age(self, now: float) -> None:
        while self._samples and self._samples[0][0] + _RECENT_SECONDS <= now:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, seconds = self._samples.popleft()
        del self._sorted[bisect_left(self._sorted, seconds)]
        self._sum -= seconds


class Arrivals:
    """The recent rate of a stream, older arrivals counting less and less."""

    _TAU_SECONDS: Final = 120.0
    _KNOWN_AFTER_SECONDS: Final = 5.0

    def __init__(self) -> None:
        self._began: float | None = None
        self._at = 0.0
        self._weight = 0.0

    def record(self, now: float) -> None:
        """One came."""
        if self._began is None:
            self._began = now
        self._weight = self._decayed(now) + 1
        self._at = now

    def per_second(self, now: float) -> float:
        """0 in the first seconds: a few at once are no stream."""
        if self._began is None or now - self._began < self._KNOWN_AFTER_SECONDS:
            return 0.0
        observed = self._TAU_SECONDS * (1 - math.exp((self._began - now) / self._TAU_SECONDS))
        return self._decayed(now) / observed

    def _decayed(self, now: float) -> float:
        return self._weight * math.exp((self._at - now) / self._TAU_SECONDS)


class Calibration:
    """The factor by which estimates were wrong, found from how long waits really took.

    Steps up whenever a wait took longer than estimated and down whenever less long, so it settles where as many take
    longer as shorter: at the median.
    """

    _STEP: Final = 0.04
    _LIMIT: Final = math.log(4)

    def __init__(self) -> None:
        self._log_factor = 0.0

    @property
    def factor(self) -> float:
        return math.exp(self._log_factor)

    def learn(self, estimated_seconds: float, actual_seconds: float) -> None:
        """A wait that was estimated, calibration included, took so long."""
        step = self._STEP if actual_seconds > estimated_seconds else -self._STEP
        self._log_factor = min(max(self._log_factor + step, -self._LIMIT), self._LIMIT)


class Waits:
    """What recent calls say of the waits to come."""

    def __init__(self) -> None:
        self._slot_times = Durations(size=300)
        self._arrivals = {priority: Arrivals() for priority in Priority}
        self._calibrations = {priority: Calibration() for priority in Priority}

    def arrived(self, priority: Priority, now: float) -> None:
        """A call that nobody had asked for came to wait."""
        self._arrivals[priority].record(now)

    def ended(self, slot_seconds: float, now: float) -> None:
        """A call held its slot for so long."""
        self._slot_times.record(slot_seconds, now)

    def granted(self, forecast: Forecast, now: float) -> None:
        """What was said of this call's wait can be compared now."""
        self._calibrations[forecast.priority].learn(forecast.wait_seconds, now - forecast.at)

    def calibrated(self, priority: Priority, estimate_seconds: float) -> float:
        """The estimate, mended by how earlier ones of the class turned out."""
        return estimate_seconds * self._calibrations[priority].factor

    def slot_seconds(self, now: float) -> float | None:
        """The mean of recent calls, never nothing at all; None while nothing is known."""
        mean = self._slot_times.mean(now)
        return None if mean is None else max(mean, _SHORTEST_SECONDS)

    def share_left(self, priority: Priority, slots: int, call_seconds: float, now: float) -> float:
        """Calls a second that so many slots can make for this class, more urgent ones taking theirs first.

        Never less than a twentieth of them all: a surge of the more urgent does not last for ever.
        """
        capacity = max(slots, 1) / call_seconds
        taken = sum(stream.per_second(now) for other, stream in self._arrivals.items() if other.rank < priority.rank)
        return max(capacity - taken, capacity / 20)
