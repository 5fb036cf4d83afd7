"""The consumer framework with a handler that does nothing, beside a bare aiokafka loop over the same events.

    scripts/services start
    python -m bench.consumer

Needs a Kafka: its address is read from where `scripts/services` leaves it, or given with --kafka. The two take turns,
round by round. The bare loop only counts records; the framework decodes each, knows duplicates, keeps the order of
keys, hands over to the handler and commits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import uvloop
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from bench.report import Figure, report
from bus.consumer import Delivery, Handlers, Retries, group_plans, group_topics, open_consumer
from bus.events import Enqueued, Event, Topic
from bus.ids import EventId, MemberId, PayerId, TenantId, random_id
from bus.kafka.records import KafkaRecords
from bus.kafka.security import KafkaLink, client_options
from bus.kafka.topics import create_topics, log_plans, topic_name
from bus.kafka.writer import KafkaWriter
from bus.sealing import PlainSealer
from tests.services.addresses import ADDRESSES

PARTITIONS: Final = 12
KEYS: Final = 500
_BATCH: Final = 5000
_RETRIES: Final = Retries()


def _event(number: int) -> Event:
    member = f"m-{number % KEYS}"
    return Event(
        id=EventId(random_id()),
        source="bench",
        subject=f"r-{number}",
        time=datetime.now(UTC),
        tenant_id=TenantId("bench"),
        member_id=MemberId(member),
        sequence=2,
        attempt=1,
        data=Enqueued(payer_id=PayerId("60054"), queue_position=3, estimated_wait_seconds=4.2),
    )


@asynccontextmanager
async def _filled(link: KafkaLink, prefix: str, count: int) -> AsyncIterator[None]:
    """The topics, with so many events in them; deleted afterwards."""
    sources = log_plans(partitions=PARTITIONS, replication=1, min_insync_replicas=1, retention_days=1, prefix=prefix)
    await create_topics(link, sources)
    records = KafkaRecords({Topic.RTE: PARTITIONS, Topic.PAYER: 1}, PlainSealer())
    writer = KafkaWriter(client_options(link), {topic: topic_name(topic, prefix) for topic in Topic})
    for start in range(0, count, _BATCH):
        await writer.write([records.message(_event(number)) for number in range(start, min(start + _BATCH, count))])
    await writer.close()
    try:
        yield
    finally:
        await _delete(link, prefix)


async def _delete(link: KafkaLink, prefix: str) -> None:
    admin = AIOKafkaAdminClient(**client_options(link))
    await admin.start()
    await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
    await admin.close()


async def _bare(link: KafkaLink, prefix: str, count: int, *, batches: bool) -> float:
    """Events a second of a loop that only counts: record by record as aiokafka's manual has it, or in batches."""
    consumer = AIOKafkaConsumer(
        topic_name(Topic.RTE, prefix),
        **client_options(link),
        group_id=f"bare-{random_id()}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    seen, began = 0, 0.0
    if batches:
        while seen < count:
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                began = began or time.perf_counter()
                seen += len(batch)
    else:
        async for _ in consumer:
            began = began or time.perf_counter()
            seen += 1
            if seen == count:
                break
    rate = seen / (time.perf_counter() - began)
    await consumer.stop()
    return rate


async def _framework(link: KafkaLink, prefix: str, count: int) -> float:
    """Events a second of a handler that counts, from the first one on."""
    group = f"bench-{random.Random().getrandbits(64):x}"
    handlers = Handlers()
    seen, began = 0, 0.0

    @handlers.on(Enqueued)
    async def trivial(_: Delivery[Enqueued]) -> None:
        nonlocal seen, began
        began = began or time.perf_counter()
        seen += 1
        if seen == count:
            consumer.stop()

    sources = log_plans(partitions=PARTITIONS, replication=1, min_insync_replicas=1, retention_days=1, prefix=prefix)
    await create_topics(link, group_plans(sources, group_topics(handlers, group, prefix), _RETRIES))
    async with open_consumer(link, group=group, handlers=handlers, retries=_RETRIES, prefix=prefix) as consumer:
        running = asyncio.create_task(consumer.run())
        while seen < count and not running.done():
            await asyncio.sleep(0.02)
        rate = seen / (time.perf_counter() - began)
        await running
    return rate


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--kafka", help="host:port of a broker")
    arguments = parser.parse_args()
    address = arguments.kafka or json.loads(ADDRESSES.read_text())["kafka"]
    link = KafkaLink(servers=tuple(address.split(",")))
    prefix = f"bench-{random_id()}."
    rates: dict[str, list[float]] = {"bare": [], "in batches": [], "framework": []}
    async with _filled(link, prefix, arguments.events):
        for _ in range(arguments.rounds):
            rates["bare"].append(await _bare(link, prefix, arguments.events, batches=False))
            rates["in batches"].append(await _bare(link, prefix, arguments.events, batches=True))
            rates["framework"].append(await _framework(link, prefix, arguments.events))
    print("events a second:", {name: [round(rate) for rate in values] for name, values in rates.items()})
    share = statistics.median(ours / bare for bare, ours in zip(rates["bare"], rates["framework"], strict=True))
    return report(
        [
            Figure(
                "trivial handler, events/s a process, median of rounds",
                statistics.median(rates["framework"]),
                ">=",
                5000,
            ),
            Figure("the same / a bare aiokafka loop, median of rounds", share, ">=", 0.30),
        ]
    )


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
