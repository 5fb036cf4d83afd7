"""A consumer on the fake Kafka, running while its test does something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from bus.consumer import Consumer, ConsumerMetrics, DeadLetterLimit, GroupTopics, Handlers, Retries, Tuning
from bus.sealing import PlainSealer
from tests.bus.consumer.fake_kafka import FakeKafka, FakeSink, FakeSource, Life
from tests.virtual_time import VirtualClock

GROUP = "g"
OWN = GroupTopics("rte.events", GROUP)


class Running(NamedTuple):
    consumer: Consumer
    registry: CollectorRegistry
    task: asyncio.Task[None]

    def value(self, metric: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"covey_consumer_{metric}", {"group": GROUP} | labels) or 0.0


@asynccontextmanager
async def running(
    kafka: FakeKafka,
    handlers: Handlers,
    *,
    retries: Retries = Retries(),  # noqa: B008 - frozen
    limit: DeadLetterLimit = DeadLetterLimit(),  # noqa: B008 - frozen
    tuning: Tuning = Tuning(),  # noqa: B008 - frozen
    life: Life | None = None,
) -> AsyncIterator[Running]:
    registry = CollectorRegistry()
    life = life or Life()
    own = [OWN.retry(seconds) for seconds in (0, *retries.topics)]
    consumer = Consumer(
        group=GROUP,
        handlers=handlers,
        new_source=lambda: FakeSource(kafka, ["rte.events", *own], life),
        sink=FakeSink(kafka, life),
        retry_topics=own,
        sealer=PlainSealer(),
        clock=VirtualClock(),
        metrics=ConsumerMetrics(registry),
        retries=retries,
        limit=limit,
        tuning=tuning,
    )
    task = asyncio.create_task(consumer.run())
    try:
        yield Running(consumer, registry, task)
    finally:
        consumer.stop()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool], seconds: float = 4000) -> None:
    """Return when it holds; fails after so much virtual time."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for is of many kinds
            await asyncio.sleep(0.05)
