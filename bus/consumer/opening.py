"""How a service opens its consumer on Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry

from bus.clock import Clock, SystemClock
from bus.consumer.consumer import Consumer
from bus.consumer.handlers import Handlers
from bus.consumer.kafka_sink import KafkaSink
from bus.consumer.kafka_source import KafkaSource
from bus.consumer.metrics import ConsumerMetrics
from bus.consumer.names import group_topics
from bus.consumer.retries import Retries
from bus.consumer.stop_rule import DeadLetterLimit
from bus.consumer.tuning import Tuning
from bus.kafka.security import KafkaLink
from bus.sealing import PlainSealer, Sealer

_RETRIES: Final = Retries()
_LIMIT: Final = DeadLetterLimit()
_TUNING: Final = Tuning()


@asynccontextmanager
async def open_consumer(
    link: KafkaLink,
    *,
    group: str,
    handlers: Handlers,
    retries: Retries = _RETRIES,
    limit: DeadLetterLimit = _LIMIT,
    tuning: Tuning = _TUNING,
    prefix: str = "",
    sealer: Sealer | None = None,
    clock: Clock | None = None,
    metrics: ConsumerMetrics | None = None,
) -> AsyncIterator[Consumer]:
    """A consumer of the handled types' topics, and of the group's own retries. It reads nothing until it is `run`.

    `prefix` of the topics' names, and the `sealer` of their data, as the writer has them. Raises ValueError for a group
    whose name topics cannot bear.
    """
    metrics = metrics or ConsumerMetrics(CollectorRegistry())
    own = group_topics(handlers, group, prefix)
    retry_topics = [each.retry(seconds) for each in own for seconds in (0, *retries.topics)]

    def new_source() -> KafkaSource:
        topics = [*(each.source for each in own), *retry_topics]
        return KafkaSource(link=link, group=group, topics=topics, tuning=tuning, metrics=metrics)

    sink = KafkaSink(link)
    try:
        yield Consumer(
            group=group,
            handlers=handlers,
            new_source=new_source,
            sink=sink,
            retry_topics=retry_topics,
            sealer=sealer or PlainSealer(),
            clock=clock or SystemClock(),
            metrics=metrics,
            retries=retries,
            limit=limit,
            tuning=tuning,
        )
    finally:
        await sink.close()
