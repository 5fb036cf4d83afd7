"""Notices a consumer that has stopped reading without an error, as users of Kafka clients report again and again."""

from __future__ import annotations

from collections.abc import Mapping

from bus.consumer.record import Partition, Standing


class Watchdog:
    """Compares positions over time. Give it only partitions that the consumer wants to read: none that it paused."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._behind_since: dict[Partition, tuple[float, int | None]] = {}

    def stalled(self, now: float, standings: Mapping[Partition, Standing]) -> frozenset[Partition]:
        """The partitions that have stood still for `stall_seconds` though there is something to read.

        `now`: seconds of a monotonic clock.
        """
        behind: dict[Partition, tuple[float, int | None]] = {}
        for partition, standing in standings.items():
            if standing.position is not None and standing.position >= standing.end:
                continue
            since, position = self._behind_since.get(partition, (now, standing.position))
            behind[partition] = (since, position) if position == standing.position else (now, standing.position)
        self._behind_since = behind
        return frozenset(partition for partition, (since, _) in behind.items() if now - since >= self._stall_seconds)
