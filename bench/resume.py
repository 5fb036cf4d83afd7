"""A member who comes back after 1,000 events, on an instance that never heard of them.

    scripts/services start
    python -m bench.resume

The member's events lie among 20,000 of others in the one partition of a real Kafka; the views in a real Redis are
filled. A new instance is given the cursor. Measured is the time to the first event and to the last, and what was read
from Kafka meanwhile, where the others' events are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from contextlib import aclosing
from datetime import timedelta
from itertools import chain
from typing import Any, Final

import msgspec
import uvloop

from bench.rebuild import _request
from bench.report import Figure, report
from bus.clock import SystemClock
from bus.cursor import Cursors
from bus.events import Event
from bus.fanout import Fanout
from bus.ids import MemberId, TenantId, random_id
from bus.kafka.backlog import KafkaBacklog
from bus.kafka.log import KafkaLog
from bus.kafka.seeking import KafkaSeeker
from bus.metrics import Metrics
from bus.redis.lease import RedisLease
from bus.redis.rebuild import Rebuild
from bus.redis.todo import Keeping
from bus.replay import Checkpoint, Delivered, Streams
from tests.bus.kafka_logs import link_to, new_topics, open_kafka_log
from tests.bus.redis_world import redis_world
from tests.services.addresses import ADDRESSES

_TENANT: Final = TenantId("t-1")
_MEMBER: Final = MemberId("back again")
_MISSED: Final = 1_000
_OTHERS: Final = 20_000
_RESUMES: Final = 50
_WINDOWS: Final = 5


def _streams(log: KafkaLog, fanout: Fanout) -> Streams:
    return Streams(log, fanout, Cursors(b"k" * 32, log.epoch), SystemClock(), Metrics())


def _events() -> list[Event]:
    """Five events a request; every twenty-first request is the member's."""
    requests = [list(_request(number)) for number in range((_MISSED + _OTHERS) // 5)]
    every = (_MISSED + _OTHERS) // _MISSED
    for events in requests[::every]:
        events[:] = [msgspec.structs.replace(event, member_id=_MEMBER) for event in events]
    together = [requests[first : first + 50] for first in range(0, len(requests), 50)]
    return list(chain.from_iterable(chain.from_iterable(zip(*some, strict=True)) for some in together))


async def _append(log: KafkaLog, fanout: Fanout) -> str:
    """Everything that is missed; the cursor from before."""
    async with aclosing(_streams(log, fanout).member(_TENANT, _MEMBER, None, lambda _: True)) as items:
        checkpoint = await anext(items)
    assert isinstance(checkpoint, Checkpoint)
    events = _events()
    assert sum(event.member_id == _MEMBER for event in events) == _MISSED
    for first in range(0, len(events), 250):
        await log.append(events[first : first + 250])
    return checkpoint.cursor


async def _resume(log: KafkaLog, fanout: Fanout, cursor: str) -> tuple[float, float]:
    """Seconds to the first event, and to the last."""
    began = time.perf_counter()
    first, count = 0.0, 0
    async with aclosing(_streams(log, fanout).member(_TENANT, _MEMBER, cursor, lambda _: True)) as items:
        async for item in items:
            if isinstance(item, Delivered):
                count += 1
                first = first or time.perf_counter() - began
            if count == _MISSED:
                break
    return first, time.perf_counter() - began


async def _measure(kafka: str, redis: str) -> list[Figure]:
    link = link_to(kafka)
    keeping = Keeping(retention=timedelta(days=30))
    async with (
        new_topics(link, partitions=1) as prefix,
        redis_world(redis, keeping=keeping) as world,
        Fanout() as fanout,
    ):
        async with open_kafka_log(link, prefix) as log:
            cursor = await _append(log, fanout)
            lease = RedisLease(world.redis, world.keys.rebuild, world.clock, random_id, seconds=15)
            assert await Rebuild(world.views(), KafkaBacklog(link, log, prefix=prefix), lease, world.clock).fill()
        sought = _count_seeks()
        found = []
        for _ in range(_RESUMES):
            async with open_kafka_log(link, prefix, history=lambda _: world.history) as log:
                found.append(await _resume(log, fanout, cursor))
    first = [1_000 * first for first, _ in found]
    last = statistics.median(1_000 * last for _, last in found)
    slowest = [max(first[start : start + _RESUMES // _WINDOWS]) for start in range(0, _RESUMES, _RESUMES // _WINDOWS)]
    print(f"first event: p50 {statistics.median(first):.1f} ms; all {_MISSED:,}: p50 {last:.1f} ms")
    print(f"slowest first event of each {_RESUMES // _WINDOWS}, ms: " + ", ".join(f"{one:.1f}" for one in slowest))
    name = f"first of {_MISSED:,} missed events, slowest of {_RESUMES // _WINDOWS}, median window, ms"
    return [
        Figure(name, statistics.median(slowest), "<=", 50),
        Figure("stretches with others' events read meanwhile", len(sought), "<=", 0),
    ]


def _count_seeks() -> list[object]:
    """From here on every stretch that is read from Kafka is noted."""
    noted: list[object] = []
    read = KafkaSeeker.read

    async def counted(self: KafkaSeeker, place: Any, **stretch: Any) -> Any:
        noted.append(place)
        return await read(self, place, **stretch)

    KafkaSeeker.read = counted  # type: ignore[method-assign]  # for this process only
    return noted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    addresses = json.loads(ADDRESSES.read_text())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return report(runner.run(_measure(addresses["kafka"], addresses["redis"])))


if __name__ == "__main__":
    sys.exit(main())
