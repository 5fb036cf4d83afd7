"""How far a reader is behind, place by place: one that does not move is not hidden by others that do."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from bus.clock import Clock
from bus.events import Topic
from bus.kafka.records import Place
from bus.metrics import Metrics


class Lateness:
    """Of every place that has more than was taken: when it was seen to, or last moved."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._since: dict[Place, float] = {}

    @property
    def seconds(self) -> float:
        """Of the place that has not moved for longest; 0 while nothing is late."""
        return self._clock.monotonic() - min(self._since.values()) if self._since else 0.0

    def since(self, place: Place) -> float:
        """To put places in order by: the longer one has not moved the less this is; infinity for what is not late."""
        return self._since.get(place, inf)

    def moved(self, place: Place) -> None:
        """More of it was taken."""
        if place in self._since:
            self._since[place] = self._clock.monotonic()

    def measure(self, positions: Mapping[Place, int], ends: Mapping[Place, int]) -> int:
        """Note which places are late, and tell the metric; returns how many events all of them lack."""
        lags = dict.fromkeys(Topic, 0)
        for place, end in ends.items():
            lag = max(end - positions[place], 0)
            lags[place.topic] += lag
            if lag:
                self._since.setdefault(place, self._clock.monotonic())
            else:
                self._since.pop(place, None)
        for topic, lag in lags.items():
            self._metrics.reader_lag.labels(topic=topic.value).set(lag)
        return sum(lags.values())
