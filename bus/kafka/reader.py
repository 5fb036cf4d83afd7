"""The supervised reader of a log on Kafka: one a process, over all partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from bus.clock import Clock
from bus.errors import LogUnavailable
from bus.events import Recorded, Topic
from bus.kafka.log import KafkaLog
from bus.kafka.records import Place, offset_behind, position_of
from bus.kafka.security import KafkaLink, client_options
from bus.kafka.starting import Starting
from bus.kafka.topics import topic_name
from bus.metrics import Metrics
from bus.reader import Sink

_BATCH_EVENTS: Final = 512
_POLL_MILLISECONDS: Final = 500
_REQUEST_MILLISECONDS: Final = 5_000
_CHECK_SECONDS: Final = 2.0
_LOOK_AGAIN_SECONDS: Final = 0.02
_STALL_SECONDS: Final = 10.0
_FIRST_BACKOFF_SECONDS: Final = 0.1
_LONGEST_BACKOFF_SECONDS: Final = 5.0

_logger = structlog.get_logger(__name__)


class KafkaReader:
    """Reads every partition for ever; the log hears of each event first, then each sink, one after the other.

    Whatever fails is logged, counted, and tried again from the same positions with a new consumer, after a growing
    pause. A watchdog does the same when nothing moves though the topics grew: consumers were seen to stop without an
    error. An async context manager: it reads while it is entered.
    """

    def __init__(
        self,
        link: KafkaLink,
        log: KafkaLog,
        sinks: Sequence[Sink],
        metrics: Metrics,
        clock: Clock,
        *,
        prefix: str = "",
        check_seconds: float = _CHECK_SECONDS,
        stall_seconds: float = _STALL_SECONDS,
    ) -> None:
        """It begins where the log was opened. A batch that a sink takes may be of several partitions."""
        self._options = client_options(link)
        self._log = log
        self._sinks = tuple(sinks)
        self._metrics = metrics
        self._clock = clock
        self._positions = dict(log.places)
        self._partitions = {
            place: TopicPartition(topic_name(place.topic, prefix), place.partition) for place in self._positions
        }
        self._places = {partition: place for place, partition in self._partitions.items()}
        self._check_seconds = check_seconds
        self._stall_seconds = stall_seconds
        self._progressed_at = clock.monotonic()
        self._behind = False
        self._reading: asyncio.Task[None] | None = None
        self._clients = Starting()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def positions(self) -> Mapping[Place, int]:
        """Everything at or before these was taken by every sink."""
        return self._positions.copy()

    @property
    def stalled_seconds(self) -> float:
        """How long the topics have had more events without one being taken; 0 while there is nothing to take."""
        return self._clock.monotonic() - self._progressed_at if self._behind else 0.0

    async def caught_up(self, within_seconds: float = 0.0) -> bool:
        """Whether every event there is now was taken, or is within so long: new ones come all the time.

        Raises LogUnavailable.
        """
        ends = await self._log.ends()
        deadline = self._clock.monotonic() + within_seconds
        while self._measure(ends) > 0:
            if self._clock.monotonic() >= deadline:
                return False
            await self._clock.sleep(_LOOK_AGAIN_SECONDS)
        return True

    async def __aenter__(self) -> Self:
        self._progressed_at = self._clock.monotonic()
        self._tasks = {
            asyncio.create_task(self._run(), name="kafka reader"),
            asyncio.create_task(self._watch(), name="kafka reader's watchdog"),
        }
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._clients.settle()

    async def _run(self) -> None:
        backoff_seconds = _FIRST_BACKOFF_SECONDS
        while True:
            before = self._positions.copy()
            self._reading = asyncio.create_task(self._read(), name="kafka consumer")
            try:
                await asyncio.wait({self._reading})
            finally:
                self._reading.cancel()
                await asyncio.wait({self._reading})
            if self._positions != before:
                backoff_seconds = _FIRST_BACKOFF_SECONDS
            for topic in Topic:
                self._metrics.reader_restarts.labels(topic=topic.value).inc()
            # The error's own words are left out: they may repeat what was in an event.
            error = None if self._reading.cancelled() else self._reading.exception()
            cause = "made no progress" if error is None else type(error).__name__
            _logger.error("reader failed", error=cause, retry_seconds=backoff_seconds)
            await self._clock.sleep(backoff_seconds)
            backoff_seconds = min(2 * backoff_seconds, _LONGEST_BACKOFF_SECONDS)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            request_timeout_ms=_REQUEST_MILLISECONDS,
        )
        await self._clients.start(consumer.start, consumer.stop)
        try:
            consumer.assign(list(self._places))
            for place, position in self._positions.items():
                consumer.seek(self._partitions[place], offset_behind(position))
            while True:
                try:
                    batches = await consumer.getmany(timeout_ms=_POLL_MILLISECONDS, max_records=_BATCH_EVENTS)
                except OffsetOutOfRangeError:
                    await self._relocate(consumer)
                    continue
                if batches:
                    await self._take({self._places[partition]: batch for partition, batch in batches.items()})
                self._measure(self._known_ends(consumer))
        finally:
            await consumer.stop()

    async def _take(self, batches: Mapping[Place, Sequence[ConsumerRecord]]) -> None:
        events: list[Recorded] = []
        for place, batch in batches.items():
            of_place = self._events(place, batch)
            await self._log.take(place, of_place, position_of(batch[-1].offset))
            events += of_place
        if events:
            # All partitions at once: a sink that writes elsewhere pays for one round trip, not for one each.
            for sink in self._sinks:
                await sink.take(events)
        self._positions |= {place: position_of(batch[-1].offset) for place, batch in batches.items()}
        self._progressed_at = self._clock.monotonic()

    def _events(self, place: Place, batch: Sequence[ConsumerRecord]) -> Sequence[Recorded]:
        decoded = [self._log.records.recorded(place, record) for record in batch]
        # What is no event of ours, or stands where its member's events do not stand now, is nobody's to see.
        events = [
            recorded for recorded in decoded if recorded is not None and not self._log.records.misplaced(recorded)
        ]
        if len(events) < len(batch):
            _logger.error(
                "records passed over",
                topic=place.topic.value,
                partition=place.partition,
                count=len(batch) - len(events),
            )
        return events

    async def _relocate(self, consumer: AIOKafkaConsumer) -> None:
        """Go on at what is there: retention was faster than we, or the cluster lost its newest events."""
        floors, ends = await self._log.floors(), await self._log.ends()
        for place, position in self._positions.items():
            there = min(max(position, floors[place]), ends[place])
            if there != position:
                _logger.error("events lost", topic=place.topic.value, position=position, going_on_at=there)
                self._positions[place] = there
            consumer.seek(self._partitions[place], offset_behind(there))

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(self._check_seconds)
            try:
                lag = self._measure(await self._log.ends())
            except LogUnavailable:
                continue  # while Kafka is away nobody is late
            if lag and self.stalled_seconds >= self._stall_seconds and self._reading is not None:
                self._reading.cancel()
                self._progressed_at = self._clock.monotonic()

    def _known_ends(self, consumer: AIOKafkaConsumer) -> Mapping[Place, int]:
        known: dict[Place, Any] = {
            place: consumer.highwater(partition) for place, partition in self._partitions.items()
        }
        return {place: end for place, end in known.items() if end is not None}

    def _measure(self, ends: Mapping[Place, int]) -> int:
        """Note how far the ends are away, and since when."""
        lags = dict.fromkeys(Topic, 0)
        for place, end in ends.items():
            lags[place.topic] += max(end - self._positions[place], 0)
        for topic, lag in lags.items():
            self._metrics.reader_lag.labels(topic=topic.value).set(lag)
        total = sum(lags.values())
        if total and not self._behind:
            self._progressed_at = self._clock.monotonic()
        self._behind = total > 0
        return total
