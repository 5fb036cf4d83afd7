"""A member of a consumer group, by aiokafka."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition

from bus.consumer.errors import TopicsMissing
from bus.consumer.metrics import ConsumerMetrics
from bus.consumer.record import Holder, Partition, Record, Standing
from bus.consumer.tuning import Tuning
from bus.errors import LogUnavailable
from bus.kafka.security import KafkaLink, client_options

log = structlog.get_logger(__name__)

_ANSWER_SECONDS: Final = 5
"""For Kafka to answer what is asked beside polling."""
_POSITION_SECONDS: Final = 1
_LOOK_AGAIN_SECONDS: Final = (0.1, 0.3, 0.6, 1.0)
_FETCH_WAIT_MILLISECONDS: Final = 250
"""A partition that is read again after a pause waits for a fetch under way: at most so long."""
_REJOIN_SECONDS: Final = 20
"""For a member to come back to a rebalance, beyond the time its handlers may take to end."""


class _Hold(Enum):
    """What a record may mean that is read now."""

    OURS = auto()
    LEAVING = auto()
    """Its partition is being given back: it will be read again."""
    COMING = auto()
    """Its partition is ours already, only the client has not told so yet."""


class KafkaSource(ConsumerRebalanceListener):  # type: ignore[misc]  # the client ships no types
    """Reads the topics as one member of the group; transactions that were aborted are not read."""

    def __init__(
        self,
        *,
        link: KafkaLink,
        group: str,
        topics: Collection[str],
        tuning: Tuning,
        metrics: ConsumerMetrics,
    ) -> None:
        self._link = link
        self._group = group
        self._topics = topics
        self._tuning = tuning
        self._metrics = metrics
        self._client: Any = None
        self._holder: Holder | None = None
        self._hold = _Hold.COMING
        self._paused: frozenset[Partition] = frozenset()
        self._committing = asyncio.Lock()
        self._telling_lost: asyncio.Task[None] | None = None

    async def start(self, holder: Holder) -> None:
        tuning = self._tuning
        self._holder = holder
        self._client = AIOKafkaConsumer(
            **client_options(self._link),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=_FETCH_WAIT_MILLISECONDS,
            session_timeout_ms=_milliseconds(tuning.session_seconds),
            heartbeat_interval_ms=_milliseconds(tuning.session_seconds / 4),
            max_poll_interval_ms=_milliseconds(tuning.max_poll_seconds),
            rebalance_timeout_ms=_milliseconds(tuning.drain_seconds + _REJOIN_SECONDS),
        )
        try:
            await self._client.start()
            await self._find_topics()
        except KafkaError as error:
            raise _unavailable(error) from error
        self._client.subscribe(self._topics, listener=self)

    async def poll(self, *, seconds: float, room: int) -> Mapping[Partition, Sequence[Record]]:
        try:
            found: Mapping[Partition, Sequence[Record]] = await self._client.getmany(
                timeout_ms=_milliseconds(seconds), max_records=room
            )
        except KafkaError as error:
            raise _unavailable(error) from error
        if self._hold is _Hold.COMING and found:
            self._told(found)
        return {} if self._hold is _Hold.LEAVING else {Partition(*each): batch for each, batch in found.items()}

    def pause(self, partitions: Collection[Partition]) -> None:
        wanted = frozenset(partitions)
        if wanted == self._paused:
            return
        assigned = self._client.assignment()
        self._client.pause(*_keys((wanted - self._paused) & assigned))
        self._client.resume(*_keys((self._paused - wanted) & assigned))
        self._paused = wanted

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        if not offsets:
            return
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._committing:
                await self._client.commit({TopicPartition(*each): offset for each, offset in offsets.items()})
        except (KafkaError, TimeoutError) as error:
            raise _unavailable(error) from error

    async def standings(self, partitions: Collection[Partition]) -> Mapping[Partition, Standing]:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                ends = await self._client.end_offsets(_keys(partitions)) if partitions else {}
        except (KafkaError, TimeoutError) as error:
            raise _unavailable(error) from error
        standings: dict[Partition, Standing] = {}
        for partition, end in ends.items():
            try:
                standings[Partition(*partition)] = Standing(position=await self._position(partition), end=end)
            except IllegalStateError:
                continue  # no longer ours
            except KafkaError as error:
                raise _unavailable(error) from error
        return standings

    async def close(self) -> None:
        if self._client is None:
            return
        if self._telling_lost is not None:
            self._telling_lost.cancel()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._client.stop()
        except (KafkaError, TimeoutError) as error:
            log.warning("a Kafka client could not be closed", group=self._group, cause=type(error).__name__)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Called by the client before the group is rebalanced; it waits for the end."""
        assert self._holder is not None  # noqa: S101 - the client was given this listener in `start`
        if not revoked:
            return
        self._hold = _Hold.LEAVING
        offsets = await self._holder.release()
        try:
            await self.commit(offsets)
        except LogUnavailable:
            log.warning("offsets could not be committed before a rebalance", group=self._group)
        self._paused = frozenset()
        self._hold = _Hold.COMING

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Called by the client after the group was rebalanced."""
        self._told(assigned)
        self._hold = _Hold.OURS
        # Beside the rebalance, which others wait for.
        self._telling_lost = asyncio.create_task(self._tell_lost(assigned), name="lost events")

    async def _find_topics(self) -> None:
        """Raises TopicsMissing. Topics that were just made are not known to every broker at once."""
        for wait in (*_LOOK_AGAIN_SECONDS, None):
            missing = set(self._topics) - await self._client.topics()
            if not missing:
                return
            if wait is None:
                raise TopicsMissing(missing)
            await asyncio.sleep(wait)

    def _told(self, partitions: Iterable[TopicPartition]) -> None:
        assert self._holder is not None  # noqa: S101 - as above
        self._holder.assign([Partition(*each) for each in partitions])

    async def _position(self, partition: TopicPartition) -> int | None:
        try:
            async with asyncio.timeout(_POSITION_SECONDS):
                position: int = await self._client.position(partition)
        except TimeoutError:
            return None
        return position

    async def _tell_lost(self, partitions: Collection[TopicPartition]) -> None:
        """What Kafka deleted before the group read it is gone; at least it is told."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                floors = await self._client.beginning_offsets(list(partitions)) if partitions else {}
                offsets = await asyncio.gather(*map(self._client.committed, floors))
                for (partition, floor), committed in zip(floors.items(), offsets, strict=True):
                    if committed is not None and committed < floor:
                        self._metrics.lost.labels(self._group, partition.topic).inc(floor - committed)
                        log.error("events were deleted before they were read", group=self._group, topic=partition.topic)
        except (KafkaError, TimeoutError) as error:
            log.warning("whether events were lost is not known", group=self._group, cause=type(error).__name__)


def _keys(partitions: Iterable[tuple[str, int]]) -> list[TopicPartition]:
    return [TopicPartition(*each) for each in partitions]


def _milliseconds(seconds: float) -> int:
    return max(round(seconds * 1000), 0)


def _unavailable(error: BaseException) -> LogUnavailable:
    return LogUnavailable(f"Kafka could not do what was asked ({type(error).__name__}).")
