"""The supervised reader of a log on Kafka: one a process, over all partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import structlog
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from bus.clock import Clock
from bus.errors import LogUnavailable
from bus.events import Recorded, Topic
from bus.kafka.fetching import FetchSession, Portion
from bus.kafka.log import KafkaLog
from bus.kafka.records import Place, offset_behind, position_of
from bus.kafka.security import KafkaLink, client_options
from bus.kafka.starting import Starting
from bus.kafka.topics import topic_name
from bus.metrics import Metrics
from bus.reader import Sink

_BATCH_EVENTS: Final = 512
_REQUEST_MILLISECONDS: Final = 5_000
_CHECK_SECONDS: Final = 2.0
_LOOK_AGAIN_SECONDS: Final = 0.02
_STALL_SECONDS: Final = 10.0
_FIRST_BACKOFF_SECONDS: Final = 0.1
_LONGEST_BACKOFF_SECONDS: Final = 5.0
_REST_SECONDS: Final = 0.2
"""A broker that could not be read is left alone for so long, while the others are read on."""

_logger = structlog.get_logger(__name__)


class KafkaReader:
    """Reads every partition for ever; the log hears of each event first, then each sink, one after the other.

    Brokers that come and go, and partitions that change their leader, are followed. Whatever else fails is logged,
    counted, and tried again from the same positions with a new client, after a growing pause. A watchdog does the same
    when nothing moves though the topics grew. An async context manager: it reads while it is entered.
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
        self._taking = asyncio.Lock()
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
        client = AIOKafkaClient(**self._options, request_timeout_ms=_REQUEST_MILLISECONDS)
        await self._clients.start(client.bootstrap, client.close)
        reading: dict[int, _OfBroker] = {}
        resting: dict[int, float] = {}
        try:
            await client.set_topics({partition.topic for partition in self._places})
            while True:
                now = self._clock.monotonic()
                resting = {node: until for node, until in resting.items() if until > now}
                await self._divide(client, reading, frozenset(resting))
                whole = sum(len(one.partitions) for one in reading.values()) == len(self._places)
                await self._until_one_ends(reading, None if whole else _REST_SECONDS)
                ended = [node for node, one in reading.items() if one.task.done()]
                for node in ended:
                    await self._judge(reading.pop(node).task)
                    resting[node] = self._clock.monotonic() + _REST_SECONDS
                if ended or not whole:
                    await client.force_metadata_update()  # leaders may have moved
        finally:
            await _end(reading.values())
            await client.close()

    async def _divide(self, client: AIOKafkaClient, reading: dict[int, _OfBroker], resting: frozenset[int]) -> None:
        """Have every partition read from its leader, but for those of brokers that rest or are not known."""
        led: dict[int, set[TopicPartition]] = {}
        for partition in self._places:
            leader: int | None = client.cluster.leader_for_partition(partition)
            if leader is not None and leader >= 0 and leader not in resting:
                led.setdefault(leader, set()).add(partition)
        leaders = {node: frozenset(partitions) for node, partitions in led.items()}
        moved = [node for node, one in reading.items() if one.partitions != leaders.get(node)]
        await _end([reading.pop(node) for node in moved])
        for node, partitions in leaders.items():
            if node not in reading:
                task = asyncio.create_task(self._read_from(client, node, partitions), name=f"kafka broker {node}")
                reading[node] = _OfBroker(partitions, task)

    async def _until_one_ends(self, reading: Mapping[int, _OfBroker], seconds: float | None) -> None:
        if reading:
            tasks = [one.task for one in reading.values()]
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await self._clock.sleep(_REST_SECONDS)

    async def _judge(self, task: asyncio.Task[None]) -> None:
        """Raises what is not the broker's trouble."""
        try:
            await task
        except OffsetOutOfRangeError:
            await self._relocate()
        except (KafkaError, OSError) as error:
            _logger.warning("kafka_broker_left_alone", reason=type(error).__name__)

    async def _read_from(self, client: AIOKafkaClient, node: int, partitions: frozenset[TopicPartition]) -> None:
        offsets = {partition: offset_behind(self._positions[self._places[partition]]) for partition in partitions}
        session = FetchSession(client, node, offsets)
        while True:
            portions = await session.next()
            async with self._taking:
                for batch in _batches({self._places[partition]: portion for partition, portion in portions.items()}):
                    await self._take(batch)

    async def _take(self, batch: Sequence[_Stretch]) -> None:
        events: list[Recorded] = []
        for place, records, reached in batch:
            of_place = self._events(place, records)
            await self._log.take(place, of_place, reached)
            events += of_place
        if events:
            # All partitions at once: a sink that writes elsewhere pays for one round trip, not for one each.
            for sink in self._sinks:
                await sink.take(events)
        self._positions |= {place: reached for place, _, reached in batch}
        self._progressed_at = self._clock.monotonic()

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

    async def _relocate(self) -> None:
        """Go on at what is there: retention was faster than we, or the cluster lost its newest events."""
        floors, ends = await self._log.floors(), await self._log.ends()
        for place, position in self._positions.items():
            there = min(max(position, floors[place]), ends[place])
            if there != position:
                _logger.error("events lost", topic=place.topic.value, position=position, going_on_at=there)
                self._positions[place] = there

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


class _OfBroker(NamedTuple):
    """What is read from one broker."""

    partitions: frozenset[TopicPartition]
    task: asyncio.Task[None]


class _Stretch(NamedTuple):
    """Neighbouring records of a place."""

    place: Place
    records: Sequence[Any]
    reached: int
    """The position that the place was read to with them."""


def _batches(portions: Mapping[Place, Portion]) -> Iterator[list[_Stretch]]:
    """Stretches of several places together, so many that the loop serves others in between."""
    batch: list[_Stretch] = []
    for place, portion in portions.items():
        records = portion.records
        for first in range(0, len(records), _BATCH_EVENTS):
            some = records[first : first + _BATCH_EVENTS]
            batch.append(_Stretch(place, some, position_of(some[-1].offset)))
            if sum(len(stretch.records) for stretch in batch) >= _BATCH_EVENTS:
                yield batch
                batch = []
        behind = position_of(portion.next_offset - 1)
        if not records or position_of(records[-1].offset) < behind:  # what stands between is no event
            batch.append(_Stretch(place, (), behind))
    if batch:
        yield batch


async def _end(reading: Iterable[_OfBroker]) -> None:
    tasks = [one.task for one in reading]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
