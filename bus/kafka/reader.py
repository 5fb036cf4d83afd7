"""The supervised reader of a log on Kafka: one a process, over all partitions."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeAlias

import structlog
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from bus.clock import Clock
from bus.errors import LogUnavailable
from bus.events import Recorded, Topic
from bus.kafka.fetching import FetchSession, LeaderMoved, Stretch, in_batches
from bus.kafka.lateness import Lateness
from bus.kafka.log import KafkaLog
from bus.kafka.records import Place, offset_behind
from bus.kafka.rests import Rests
from bus.kafka.security import KafkaLink, client_options
from bus.kafka.starting import Starting
from bus.kafka.topics import topic_name
from bus.metrics import Metrics
from bus.reader import Sink

_REQUEST_MILLISECONDS: Final = 5_000
_METADATA_MILLISECONDS: Final = 10_000
"""A broker that the cluster gave up may not know it, and never say so: how often others are asked who leads."""
_CHECK_SECONDS: Final = 2.0
_LINGER_SECONDS: Final = 0.008
"""Asking costs as much as twenty events: what comes within so long of an answer comes with the next."""
_CROWD: Final = 50
"""Where so many came at once, there are more."""
_LOOK_AGAIN_SECONDS: Final = 0.02
_STALL_SECONDS: Final = 10.0
_FIRST_BACKOFF_SECONDS: Final = 0.1
_LONGEST_BACKOFF_SECONDS: Final = 5.0
_UNREAD_SECONDS: Final = 0.1
"""While a partition is read from nobody: how often to look whether it can be."""

_logger = structlog.get_logger(__name__)

_Trouble: TypeAlias = KafkaError | OSError | LeaderMoved


class KafkaReader:
    """Reads every partition for ever; the log hears of each event first, then each sink, one after the other.

    Brokers that come and go, and partitions that change their leader, are followed. Whatever else fails is logged,
    counted, and tried again from the same positions with a new client, after a growing pause. A watchdog does the same
    when some partition does not move though it grew. An async context manager: it reads while it is entered.
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
        self._lateness = Lateness(metrics, clock)
        self._begun_at = clock.monotonic()
        self._rests = Rests(metrics, clock)
        self._reading: asyncio.Task[None] | None = None
        self._taking = asyncio.Lock()
        self._clients = Starting()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def positions(self) -> Mapping[Place, int]:
        """Everything at or before these was taken by every sink."""
        return self._positions.copy()

    @property
    def stalled_seconds(self) -> float:
        """How long some partition has had more events without one being taken; 0 while there is nothing to take."""
        return self._lateness.seconds

    async def caught_up(self, within_seconds: float = 0.0) -> bool:
        """Whether every event there is now was taken, or is within so long: new ones come all the time.

        Raises LogUnavailable.
        """
        ends = await self._log.ends()
        deadline = self._clock.monotonic() + within_seconds
        while self._lateness.measure(self._positions, ends) > 0:
            if self._clock.monotonic() >= deadline:
                return False
            await self._clock.sleep(_LOOK_AGAIN_SECONDS)
        return True

    async def __aenter__(self) -> Self:
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
            self._begun_at = self._clock.monotonic()
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
        client = AIOKafkaClient(
            **self._options, request_timeout_ms=_REQUEST_MILLISECONDS, metadata_max_age_ms=_METADATA_MILLISECONDS
        )
        await self._clients.start(client.bootstrap, client.close)
        reading: dict[int, _OfBroker] = {}
        asked: asyncio.Future[Any] | None = None
        ask_at, pause = self._clock.monotonic(), _UNREAD_SECONDS
        try:
            await client.set_topics({partition.topic for partition in self._places})
            while True:
                whole = await self._divide(client, reading)
                if whole:
                    pause = _UNREAD_SECONDS
                elif asked is None and self._clock.monotonic() >= ask_at:
                    # Leaders may have moved. Not waited for: a frozen broker may be the one that is asked.
                    asked = client.force_metadata_update()
                    ask_at, pause = self._clock.monotonic() + pause, min(2 * pause, self._check_seconds)
                await self._until_news(reading, asked, self._check_seconds if whole else _UNREAD_SECONDS)
                if asked is not None and asked.done():
                    asked = None
                for node in [node for node, one in reading.items() if one.task.done()]:
                    await self._judge(node, reading.pop(node))
        finally:
            await _end(reading.values())
            await client.close()

    async def _divide(self, client: AIOKafkaClient, reading: dict[int, _OfBroker]) -> bool:
        """Have every partition read from its leader, but for what rests; returns whether all are read.

        Where no leader is known, which a broker that just began may say, whoever reads the partition goes on.
        """
        readers = {partition: node for node, one in reading.items() for partition in one.partitions}
        shares: dict[int, set[TopicPartition]] = {}
        for partition in self._places:
            leader: int | None = client.cluster.leader_for_partition(partition)
            if leader is None or leader < 0:
                leader = readers.get(partition)
            if leader is not None and self._rests.allow(leader, partition):
                shares.setdefault(leader, set()).add(partition)
        led = {node: frozenset(share) for node, share in shares.items()}
        moved = [node for node, one in reading.items() if one.partitions != led.get(node)]
        if moved:
            async with self._taking:  # what is being taken is taken once
                await _end([reading.pop(node) for node in moved])
        for node, partitions in led.items():
            if node not in reading:
                task = asyncio.create_task(self._read_from(client, node, partitions), name=f"kafka broker {node}")
                reading[node] = _OfBroker(partitions, task)
        return sum(len(one.partitions) for one in reading.values()) == len(self._places)

    async def _until_news(
        self, reading: Mapping[int, _OfBroker], asked: asyncio.Future[Any] | None, seconds: float
    ) -> None:
        awaited: list[asyncio.Future[Any]] = [one.task for one in reading.values()]
        if asked is not None:
            awaited.append(asked)
        if awaited:
            await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await self._clock.sleep(seconds)

    async def _judge(self, node: int, one: _OfBroker) -> None:
        """Raises what is not the broker's trouble."""
        trouble = await one.task
        if isinstance(trouble, LeaderMoved):
            self._rests.moved(node, trouble.partitions)
        elif not isinstance(trouble, OffsetOutOfRangeError) or not await self._relocated():
            self._rests.failed(node, trouble)

    async def _read_from(self, client: AIOKafkaClient, node: int, partitions: Iterable[TopicPartition]) -> _Trouble:
        # Who is late comes first: where there is more than one answer holds, nobody waits for ever.
        ordered = sorted(partitions, key=lambda partition: self._lateness.since(self._places[partition]))
        offsets = {partition: offset_behind(self._positions[self._places[partition]]) for partition in ordered}
        session = FetchSession(client, node, offsets)
        while True:
            try:
                portions = await session.next()
            except (KafkaError, OSError, LeaderMoved) as error:
                return error
            self._rests.answered(node)
            async with self._taking:
                for batch in in_batches({self._places[partition]: portion for partition, portion in portions.items()}):
                    await self._take(batch)
            if sum(len(portion.records) for portion in portions.values()) < _CROWD:
                await self._clock.sleep(_LINGER_SECONDS)

    async def _take(self, batch: Sequence[Stretch]) -> None:
        events: list[Recorded] = []
        for place, records, reached in batch:
            of_place = self._events(place, records)
            await self._log.take(place, of_place, reached)
            events += of_place
        if events:
            # All partitions at once: a sink that writes elsewhere pays for one round trip, not for one each.
            for sink in self._sinks:
                await sink.take(events)
        for place, _, reached in batch:
            if reached != self._positions[place]:
                self._positions[place] = reached
                self._lateness.moved(place)

    def _events(self, place: Place, records: Sequence[Any]) -> Sequence[Recorded]:
        decoded = [self._log.records.recorded(place, record) for record in records]
        # What is no event of ours, or stands where its member's events do not stand now, is nobody's to see.
        events = [
            recorded for recorded in decoded if recorded is not None and not self._log.records.misplaced(recorded)
        ]
        if len(events) < len(records):
            _logger.error(
                "records passed over",
                topic=place.topic.value,
                partition=place.partition,
                count=len(records) - len(events),
            )
        return events

    async def _relocated(self) -> bool:
        """Go on at what is there: retention was faster than we, or the cluster lost its newest events.

        Returns whether that changed anything. The other brokers are read on meanwhile.
        """
        before = self._positions.copy()
        try:
            floors, ends = await self._log.floors(), await self._log.ends()
        except LogUnavailable:
            return False
        changed = False
        for place, position in before.items():
            there = min(max(position, floors[place]), ends[place])
            if there != position and self._positions[place] == position:
                _logger.error("events lost", topic=place.topic.value, position=position, going_on_at=there)
                self._positions[place] = there
                changed = True
        return changed

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(self._check_seconds)
            try:
                self._lateness.measure(self._positions, await self._log.ends())
            except LogUnavailable:
                continue  # while Kafka is away nobody is late
            except Exception as error:  # nobody else would see that the reader stands still
                frames = traceback.format_tb(error.__traceback__)
                _logger.error("kafka_reader_not_watched", error=type(error).__name__, frames=frames)
                self._metrics.internal_errors.labels("kafka reader").inc()
                continue
            # A reader that was begun anew has its time again.
            begun_seconds = self._clock.monotonic() - self._begun_at
            if min(self.stalled_seconds, begun_seconds) >= self._stall_seconds and self._reading is not None:
                self._reading.cancel()


class _OfBroker(NamedTuple):
    """What is read from one broker."""

    partitions: frozenset[TopicPartition]
    task: asyncio.Task[_Trouble]


async def _end(reading: Iterable[_OfBroker]) -> None:
    tasks = [one.task for one in reading]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
