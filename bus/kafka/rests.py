"""Which brokers are not read for a while, and which partitions not from whom: after trouble, and after a move."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import structlog
from aiokafka import TopicPartition

from bus.clock import Clock
from bus.metrics import Metrics

_FIRST_SECONDS: Final = 0.2
_LONGEST_SECONDS: Final = 2.0
_MOVED_SECONDS: Final = 0.5
"""A broker that said it does not lead a partition is believed for so long, whatever others say of it."""

_logger = structlog.get_logger(__name__)


class Rests:
    """A broker that could not be read is left alone for a pause that grows until it answers; the others are read on.

    Trouble is counted each time, and logged when it begins and when it is over. A leader that moved is no trouble.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._troubles: dict[int, _Trouble] = {}
        self._moved: dict[TopicPartition, _Moved] = {}

    def failed(self, node: int, error: Exception) -> None:
        """The broker could not be read. Of the error its kind is told; its words may repeat what was in an event."""
        kind = type(error).__name__
        self._metrics.reader_broker_failures.labels(error=kind).inc()
        before = self._troubles.get(node)
        if before is None:
            _logger.warning("kafka_broker_left_alone", broker=node, reason=kind)
        pause = _FIRST_SECONDS if before is None else min(2 * before.pause, _LONGEST_SECONDS)
        self._troubles[node] = _Trouble(pause, self._clock.monotonic() + pause)

    def answered(self, node: int) -> None:
        """The broker was read."""
        if self._troubles.pop(node, None) is not None:
            _logger.warning("kafka_broker_read_again", broker=node)

    def moved(self, node: int, partitions: Iterable[TopicPartition]) -> None:
        """The broker said that it does not lead these."""
        until = self._clock.monotonic() + _MOVED_SECONDS
        self._moved |= {partition: _Moved(node, until) for partition in partitions}

    def allow(self, node: int, partition: TopicPartition) -> bool:
        """Whether the partition may be read from that broker now."""
        now = self._clock.monotonic()
        trouble, moved = self._troubles.get(node), self._moved.get(partition)
        if trouble is not None and now < trouble.until:
            return False
        return moved is None or moved.node != node or now >= moved.until


class _Trouble(NamedTuple):
    pause: float
    until: float


class _Moved(NamedTuple):
    node: int
    until: float
