"""What a record means that is read while partitions change hands: races too narrow to wait for on a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition
from prometheus_client import CollectorRegistry

from bus.consumer import ConsumerMetrics, Tuning
from bus.consumer.kafka_source import KafkaSource
from bus.consumer.record import Partition
from bus.errors import LogUnavailable
from bus.kafka.security import KafkaLink

KEY = TopicPartition("rte.events", 0)
OURS = Partition("rte.events", 0)


class ScriptedClient:
    """In aiokafka's place; answers as it is told."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.records: dict[TopicPartition, list[str]] = {}
        self.commits: list[Mapping[TopicPartition, int]] = []
        self.floor = 0
        self.committed_at: int | None = None
        self.fails = False

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def subscribe(self, topics: Collection[str], listener: object) -> None: ...

    async def topics(self) -> set[str]:
        return {"rte.events"}

    async def getmany(self, **_: int) -> dict[TopicPartition, list[str]]:
        if self.fails:
            raise KafkaConnectionError
        found, self.records = self.records, {}
        return found

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.fails:
            raise KafkaConnectionError
        self.commits.append(offsets)

    async def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.floor)

    async def committed(self, _: TopicPartition) -> int | None:
        return self.committed_at


class Holding:
    """A holder that tells what it heard, and gives its partitions back when it is let."""

    def __init__(self) -> None:
        self.assigned: list[Partition] = []
        self.may_leave = asyncio.Event()

    def assign(self, partitions: Collection[Partition]) -> None:
        self.assigned += partitions

    async def release(self) -> Mapping[Partition, int]:
        await self.may_leave.wait()
        return {OURS: 7}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def source(monkeypatch: pytest.MonkeyPatch, registry: CollectorRegistry) -> tuple[KafkaSource, ScriptedClient]:
    client = ScriptedClient()
    monkeypatch.setattr("bus.consumer.kafka_source.AIOKafkaConsumer", lambda **_: client)
    source = KafkaSource(
        link=KafkaLink(servers=("nowhere:1",)),
        group="g",
        topics=["rte.events"],
        tuning=Tuning(),
        metrics=ConsumerMetrics(registry),
    )
    return source, client


Scripted = tuple[KafkaSource, ScriptedClient]


async def polled(kafka: KafkaSource) -> dict[Partition, Any]:
    return dict(await kafka.poll(seconds=0, room=1))


async def test_records_that_come_before_the_news_of_their_partition_are_kept(source: Scripted) -> None:
    kafka, client = source
    holder = Holding()
    await kafka.start(holder)
    client.records = {KEY: ["first"]}
    assert await polled(kafka) == {OURS: ["first"]}
    assert holder.assigned == [OURS]
    await kafka.on_partitions_assigned([KEY])
    client.records = {KEY: ["second"]}
    assert await polled(kafka) == {OURS: ["second"]}
    await kafka.close()


async def test_records_of_partitions_that_are_being_given_back_are_left_to_whoever_gets_them(source: Scripted) -> None:
    kafka, client = source
    holder = Holding()
    await kafka.start(holder)
    await kafka.on_partitions_assigned([KEY])
    leaving = asyncio.create_task(kafka.on_partitions_revoked([KEY]))
    await asyncio.sleep(0)
    client.records = {KEY: ["too late"]}
    assert await polled(kafka) == {}
    assert not client.commits
    holder.may_leave.set()
    await leaving
    assert client.commits == [{KEY: 7}]
    await kafka.close()


async def test_what_fails_in_the_client_is_told_as_an_unavailable_log(source: Scripted) -> None:
    kafka, client = source
    await kafka.start(Holding())
    client.fails = True
    with pytest.raises(LogUnavailable, match="KafkaConnectionError"):
        await kafka.poll(seconds=0, room=1)
    with pytest.raises(LogUnavailable, match="KafkaConnectionError"):
        await kafka.commit({OURS: 1})


@pytest.mark.parametrize(("committed", "lost"), [(4, 6.0), (10, None), (None, None)])
async def test_events_that_were_deleted_before_they_were_read_are_counted(
    source: Scripted, registry: CollectorRegistry, committed: int | None, lost: float | None
) -> None:
    kafka, client = source
    client.floor, client.committed_at = 10, committed
    await kafka.start(Holding())
    await kafka.on_partitions_assigned([KEY])
    for _ in range(20):
        await asyncio.sleep(0)
    labels = {"group": "g", "topic": "rte.events"}
    assert registry.get_sample_value("covey_consumer_lost_events_total", labels) == lost
    await kafka.close()
