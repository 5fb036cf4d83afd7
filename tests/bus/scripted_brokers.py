"""Brokers that answer a `KafkaReader` as a test says, in virtual time and without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiokafka import TopicPartition

from bus.events import Recorded, Topic
from bus.kafka.fetching import LeaderMoved, Portion
from bus.kafka.reader import KafkaReader
from bus.kafka.records import Place
from bus.kafka.security import KafkaLink
from bus.metrics import Metrics
from tests.virtual_time import VirtualClock

POLL_SECONDS: Final = 0.5


def place(number: int) -> Place:
    return Place(Topic.RTE, number)


def partition(number: int) -> TopicPartition:
    return TopicPartition(Topic.RTE.value, number)


class Brokers:
    """A cluster, and the log on it. `written` counts what each partition holds; the records themselves are left out."""

    def __init__(self, leaders: Mapping[int, int]) -> None:
        """`leaders` says which broker leads each partition."""
        self.leaders = dict(leaders)
        self.told: dict[int, int] = self.leaders
        """What metadata says; may be set to something older or newer than the truth."""
        self.written = dict.fromkeys(leaders, 0)
        self.deleted = dict.fromkeys(leaders, 0)
        self.silent: set[int] = set()
        """Partitions of which nothing comes."""
        self.naming_silent = False
        """Whether answers name those all the same."""
        self.failing: dict[int, Exception] = {}
        """Brokers that answer with an error."""
        self.cut_off: set[int] = set()
        """Brokers that do not know what they lost: nothing new comes to those partitions there."""
        self.fetches: list[tuple[int, frozenset[int]]] = []
        """The broker and the partitions of each request."""
        self.sessions: list[list[int]] = []
        """The partitions of each, in the order that they were asked for."""
        self.refreshes = 0
        self.clients = 0
        self.ends_error: Exception | None = None
        self.take_seconds = 0.0
        self.taken: list[tuple[Place, int]] = []

    @property
    def places(self) -> Mapping[Place, int]:
        return {place(number): 0 for number in self.leaders}

    async def ends(self) -> Mapping[Place, int]:
        if self.ends_error is not None:
            raise self.ends_error
        return {place(number): count for number, count in self.written.items()}

    async def floors(self) -> Mapping[Place, int]:
        return {place(number): count for number, count in self.deleted.items()}

    async def take(self, place: Place, batch: Sequence[Recorded], reached: int) -> None:
        """As the log's: notes how far the place was read."""
        self.taken.append((place, reached))
        await asyncio.sleep(self.take_seconds)

    @asynccontextmanager
    async def reader(self, monkeypatch: pytest.MonkeyPatch, metrics: Metrics, **options: Any) -> Any:
        monkeypatch.setattr("bus.kafka.reader.AIOKafkaClient", lambda **_: _Client(self))
        monkeypatch.setattr("bus.kafka.reader.FetchSession", lambda *given: _Session(self, *given))
        log: Any = self
        link = KafkaLink(servers=("nowhere:1",))
        async with KafkaReader(link, log, (), metrics, VirtualClock(), **options) as reader:
            yield reader


class _Client:
    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self.cluster = self
        brokers.clients += 1

    def leader_for_partition(self, partition: TopicPartition) -> int | None:
        return self._brokers.told.get(partition.partition, -1)

    async def bootstrap(self) -> None: ...

    async def close(self) -> None: ...

    async def set_topics(self, topics: object) -> None: ...

    def force_metadata_update(self) -> asyncio.Future[bool]:
        self._brokers.refreshes += 1
        return asyncio.ensure_future(asyncio.sleep(0.01, result=True))


class _Session:
    def __init__(self, brokers: Brokers, _: object, node: int, offsets: Mapping[TopicPartition, int]) -> None:
        self._brokers = brokers
        self._node = node
        self._offsets = {partition.partition: offset for partition, offset in offsets.items()}
        brokers.sessions.append(list(self._offsets))

    async def next(self) -> Mapping[TopicPartition, Portion]:
        brokers = self._brokers
        brokers.fetches.append((self._node, frozenset(self._offsets)))
        await asyncio.sleep(0.001)
        if (error := brokers.failing.get(self._node)) is not None:
            raise error
        lost = {number for number in self._offsets if brokers.leaders[number] != self._node}
        if lost and self._node not in brokers.cut_off:
            raise LeaderMoved(frozenset(map(partition, lost)))
        found: dict[TopicPartition, Portion] = {}
        for number in self._offsets.keys() - brokers.silent - lost:
            end = brokers.written[number]
            if self._offsets[number] < end:
                found[partition(number)] = Portion(records=(), next_offset=end, end_offset=end)
                self._offsets[number] = end
        if brokers.naming_silent:
            for number in self._offsets.keys() & brokers.silent:
                found[partition(number)] = Portion(records=(), next_offset=self._offsets[number], end_offset=0)
        if not found or brokers.naming_silent:
            await asyncio.sleep(POLL_SECONDS)
        return found
