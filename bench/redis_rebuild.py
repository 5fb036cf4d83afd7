"""An empty Redis filled from a log of a million events.

    scripts/services start
    python -m bench.redis_rebuild [--memory]

The log holds 200,000 requests of five events each, of 20,000 members in eight partitions of a real Kafka; with
`--memory` they lie in memory as their JSON, and are decoded as they are read. Redis is a process of its own that writes
every change to its disk. The coverage cache is filled along. Afterwards one member's events are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import msgspec
import uvloop
from aiokafka import AIOKafkaProducer

from bench.rebuild import _request
from bench.report import Figure, report
from bus.backlog import Backlog, Through
from bus.clock import SystemClock
from bus.events import Event, Recorded, Topic, decode_data, encode_data
from bus.ids import MemberId, TenantId, random_id
from bus.kafka.backlog import KafkaBacklog
from bus.kafka.log import KafkaLog
from bus.kafka.topics import topic_name
from bus.log import Span
from bus.metrics import Metrics
from bus.redis.connection import RedisAddress, redis_client
from bus.redis.history import RedisHistory
from bus.redis.keys import RedisKeys
from bus.redis.lease import RedisLease
from bus.redis.rebuild import Rebuild
from bus.redis.requests import RedisRequests
from bus.redis.todo import Keeping
from bus.redis.values import RedisValues
from bus.redis.views import RedisViews
from bus.sealing import TenantSealer
from tests.bus.kafka_logs import link_to, new_topics
from tests.services.addresses import ADDRESSES
from tests.services.redis import RedisServer
from warming.redis_cache import RedisCoverageCache
from warming.view import CoverageAnswers

REQUESTS: Final = 200_000
_PARTITIONS: Final = 8
_TOGETHER: Final = 50
"""Requests under way at once in a partition: their events lie between one another's."""
_BATCH_EVENTS: Final = 500
_RETENTION: Final = timedelta(days=30)
_TENANT, _MEMBER = TenantId("t-1"), MemberId("m-8")


def _orders(requests: int) -> list[list[Event]]:
    """The events of each partition, those of requests that are under way at once between one another's."""
    waiting: dict[int, list[list[Event]]] = defaultdict(list)
    orders: list[list[Event]] = [[] for _ in range(_PARTITIONS)]
    chance = random.Random(1)

    def interleave(partition: int) -> None:
        together = waiting.pop(partition, [])
        while together:
            own = chance.choice(together)
            orders[partition].append(own.pop())
            if not own:
                together.remove(own)

    for number in range(requests):
        partition = number % _PARTITIONS
        waiting[partition].append(list(_request(number))[::-1])
        if len(waiting[partition]) == _TOGETHER:
            interleave(partition)
    for partition in range(_PARTITIONS):
        interleave(partition)
    return orders


class _Kept(NamedTuple):
    event: Event
    data: bytes


class MemoryBacklog:
    """What a log of that size gives; an event's data is decoded when it is read."""

    def __init__(self, orders: Sequence[Sequence[Event]]) -> None:
        self._partitions = [[_Kept(event, encode_data(event.data)) for event in events] for events in orders]

    async def spans(self) -> Mapping[int, Span]:
        return {partition: Span(floor=0, end=len(events)) for partition, events in enumerate(self._partitions)}

    async def read(self, partition: int, *, after: int, through: Through) -> AsyncGenerator[Sequence[Recorded], None]:
        end = through()
        for first in range(after, end, _BATCH_EVENTS):
            kept = self._partitions[partition][first : min(first + _BATCH_EVENTS, end)]
            yield [
                Recorded(position=position, partition=partition, event=_decoded(one))
                for position, one in enumerate(kept, start=first + 1)
            ]


def _decoded(kept: _Kept) -> Event:
    return msgspec.structs.replace(kept.event, data=decode_data(kept.event.type, kept.data))


class _Log(NamedTuple):
    """Where the events come from, and in which partition those of the member are that is compared."""

    backlog: Backlog
    partition: int


@asynccontextmanager
async def _in_memory(orders: Sequence[Sequence[Event]]) -> AsyncIterator[_Log]:
    yield _Log(MemoryBacklog(orders), 0)


@asynccontextmanager
async def _in_kafka(orders: Sequence[Sequence[Event]]) -> AsyncIterator[_Log]:
    link = link_to(json.loads(ADDRESSES.read_text())["kafka"])
    async with new_topics(link, partitions=_PARTITIONS) as prefix:
        log = await KafkaLog.open(link, clock=SystemClock(), metrics=Metrics(), prefix=prefix)
        producer = AIOKafkaProducer(bootstrap_servers=list(link.servers), linger_ms=20, max_batch_size=256 * 1024)
        await producer.start()
        try:
            for events in zip_longest(*orders):
                for event in events:
                    if event is not None:
                        message = log.records.message(event)
                        await producer.send(
                            topic_name(Topic.RTE, prefix),
                            message.value,
                            key=message.key,
                            headers=message.headers,
                            partition=message.place.partition,
                        )
            await producer.flush()
            yield _Log(KafkaBacklog(link, log, prefix=prefix), log.records.member_place(_TENANT, _MEMBER).partition)
        finally:
            await producer.stop()
            await log.close()


async def _measure(requests: int, *, memory: bool) -> list[Figure]:
    orders = _orders(requests)
    made = _in_memory(orders) if memory else _in_kafka(orders)
    async with made as log:
        del orders
        print(f"{5 * requests:,} events are in the log", file=sys.stderr)
        return await _filled(requests, log)


async def _filled(requests: int, log: _Log) -> list[Figure]:
    with TemporaryDirectory() as folder:
        server = RedisServer(Path(folder) / "redis")
        await server.start()
        try:
            async with redis_client(RedisAddress(url=server.url)) as redis:
                clock, keeping, sealer = SystemClock(), Keeping(retention=_RETENTION), TenantSealer(b"k" * 32)
                keys, values = RedisKeys("bench"), RedisValues(TenantSealer(b"k" * 32))
                views = RedisViews(redis, keys, values, clock, keeping=keeping)
                cache = RedisCoverageCache(redis, keys, sealer, retention=_RETENTION)
                lease = RedisLease(redis, keys.rebuild, clock, random_id, seconds=15)
                rebuild = Rebuild(views, log.backlog, lease, clock, before=[CoverageAnswers(cache)])
                began, busy = time.perf_counter(), time.process_time()
                slowest = asyncio.create_task(_slowest_ping(server.url))
                assert await rebuild.fill()
                seconds, busy = time.perf_counter() - began, time.process_time() - busy
                slowest.cancel()
                history = RedisHistory(redis, keys, values, clock, keeping)
                kept = await history.of_member(_TENANT, _MEMBER, log.partition, after=0, limit=10_000)
                assert len(kept.events) == 5 * len(range(8, requests, 20_000))
                open_requests = [one async for one in RedisRequests(redis, keys, values).open_requests()]
                assert not open_requests
                used = (await redis.info("memory"))["used_memory"] / 2**20
                cpu = await redis.info("cpu")
        finally:
            await server.stop()
    redis_busy = cpu["used_cpu_user"] + cpu["used_cpu_sys"]
    print(f"{busy:.1f} s of them this process computed, Redis {redis_busy:.1f} s", file=sys.stderr)
    print(f"Redis holds {used:,.0f} MiB", file=sys.stderr)
    return [Figure(f"an empty Redis filled from {5 * requests:,} events, s", seconds, "<=", 120)]


async def _slowest_ping(url: str) -> None:
    """What another user of the same Redis meets meanwhile."""
    found: list[float] = []
    async with redis_client(RedisAddress(url=url)) as redis:
        try:
            while True:
                began = time.perf_counter()
                await redis.ping()
                found.append(1_000 * (time.perf_counter() - began))
                await asyncio.sleep(0.01)
        finally:
            found.sort()
            print(
                f"another user's ping meanwhile, in the same busy process: p50 {found[len(found) // 2]:.1f} ms, "
                f"p99 {found[int(0.99 * len(found))]:.1f} ms",
                file=sys.stderr,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--memory", action="store_true", help="the log lies in memory")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return report(runner.run(_measure(arguments.requests, memory=arguments.memory)))


if __name__ == "__main__":
    sys.exit(main())
