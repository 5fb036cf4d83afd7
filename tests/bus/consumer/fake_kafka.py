"""A Kafka of one test, in memory and in virtual time: topics, a group's offsets, and a process that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from bus.consumer.record import Headers, Holder, Partition, Record, Standing
from bus.errors import LogUnavailable
from bus.events import Event, Topic
from bus.kafka.records import KafkaRecords
from bus.sealing import PlainSealer

PARTITIONS = 3


class Killed(BaseException):
    """The process is gone: nothing it does from here on has any effect."""


@dataclass
class Life:
    """One process: counts what it does to the outside, and ends at the step it is told to."""

    dies_at: int | None = None
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.dies_at is not None and self.steps >= self.dies_at:
            raise Killed


@dataclass(frozen=True)
class Kept:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    at: float


@dataclass
class FakeKafka:
    """`away`: every call fails. `deaf`: nothing is read any more, and no error tells so."""

    topics: dict[str, list[list[Kept]]] = field(default_factory=dict)
    committed: dict[Partition, int] = field(default_factory=dict)
    commits: list[Mapping[Partition, int]] = field(default_factory=list)
    sources: list[FakeSource] = field(default_factory=list)
    away: bool = False
    deaf: bool = False
    appended: asyncio.Event = field(default_factory=asyncio.Event)

    def partitions(self, topic: str) -> list[list[Kept]]:
        return self.topics.setdefault(topic, [[] for _ in range(PARTITIONS)])

    def append(self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        number = crc32(key or b"") % PARTITIONS
        log = self.partitions(topic)[number]
        log.append(Kept(topic, number, len(log), key, value, headers, asyncio.get_running_loop().time()))
        self.appended.set()

    def publish(self, *events: Event) -> None:
        records = KafkaRecords(dict.fromkeys(Topic, PARTITIONS), PlainSealer())
        for event in events:
            message = records.message(event)
            self.append(event.topic, key=message.key, value=message.value, headers=message.headers)

    def all(self, topic: str) -> list[Kept]:
        return [kept for log in self.partitions(topic) for kept in log]


@dataclass
class FakeSink:
    kafka: FakeKafka
    life: Life = field(default_factory=Life)

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        self.life.step()
        await asyncio.sleep(0.002)
        if self.kafka.away:
            raise LogUnavailable("away")
        self.life.step()
        self.kafka.append(topic, key=key, value=value, headers=headers)
        self.life.step()


class FakeSource:
    """The only member of its group, unless the test takes its partitions away."""

    def __init__(self, kafka: FakeKafka, topics: Collection[str], life: Life | None = None) -> None:
        self.kafka = kafka
        self.life = life or Life()
        self.topics = topics
        self.holder: Holder | None = None
        self.positions: dict[Partition, int] = {}
        self.paused: frozenset[Partition] = frozenset()
        self.polls: list[float] = []
        self.closed = False
        kafka.sources.append(self)

    async def start(self, holder: Holder) -> None:
        self.life.step()
        if self.kafka.away:
            raise LogUnavailable("away")
        self.holder = holder
        self.come()

    def come(self) -> None:
        """Every partition becomes this member's."""
        assert self.holder is not None
        ours = [Partition(topic, number) for topic in self.topics for number in range(PARTITIONS)]
        self.positions = {each: self.kafka.committed.get(each, 0) for each in ours}
        self.holder.assign(ours)

    async def go(self) -> None:
        """A rebalance takes every partition away."""
        assert self.holder is not None
        self.positions = {}
        await self.commit(await self.holder.release())

    async def poll(self, *, seconds: float, room: int) -> Mapping[Partition, Sequence[Record]]:
        self.life.step()
        self.polls.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.001)
        found = self._found(room)
        if not found and seconds > 0:
            self.kafka.appended.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self.kafka.appended.wait()
            except TimeoutError:
                return {}
            found = self._found(room)
        return found

    def _found(self, room: int) -> Mapping[Partition, Sequence[Record]]:
        if self.kafka.away:
            raise LogUnavailable("away")
        found: dict[Partition, Sequence[Record]] = {}
        for partition, position in self.positions.items():
            batch = self.kafka.partitions(partition.topic)[partition.partition][position : position + room]
            if batch and partition not in self.paused and not self.kafka.deaf and room:
                found[partition] = batch
                self.positions[partition] += len(batch)
                room -= len(batch)
        return found

    def pause(self, partitions: Collection[Partition]) -> None:
        self.paused = frozenset(partitions)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        if not offsets:
            return
        self.life.step()
        await asyncio.sleep(0.001)
        if self.kafka.away:
            raise LogUnavailable("away")
        self.life.step()
        self.kafka.committed.update(offsets)
        self.kafka.commits.append(dict(offsets))
        self.life.step()

    async def standings(self, partitions: Collection[Partition]) -> Mapping[Partition, Standing]:
        if self.kafka.away:
            raise LogUnavailable("away")
        return {
            each: Standing(position=self.positions[each], end=len(self.kafka.partitions(each.topic)[each.partition]))
            for each in partitions
            if each in self.positions
        }

    async def close(self) -> None:
        self.closed = True
