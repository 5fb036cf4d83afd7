"""A consumer of Covey's events: tells whoever asked that their coverage was checked, once, also when the mail fails.

    python docs/examples/consumer.py --kafka 127.0.0.1:9092 --create-topics

Every part of it is explained in docs/consumers.md.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server

from bus.consumer import (
    ConsumerMetrics,
    Delivery,
    Handlers,
    Rejected,
    Retries,
    group_plans,
    group_topics,
    open_consumer,
)
from bus.events import Completed, Failed
from bus.kafka.security import KafkaLink
from bus.kafka.topics import create_topics, log_plans

GROUP = "coverage-mail"
# Two quick attempts keep the order of a member's events; then 5 s, 1 min and 10 min later, out of order.
RETRIES = Retries(in_place=(0.2, 1.0), topics=(5, 60, 600))


class Outbox:
    """Stands for the mail service: a letter a file. A letter is named by its event, so that twice is once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def put(self, event_id: str, text: str) -> None:
        (self._folder / event_id.replace("/", "_")).write_text(text, encoding="utf-8")


def handlers_of(outbox: Outbox) -> Handlers:
    """What this service does with each type of event; types without a handler are passed over."""
    handlers = Handlers()

    @handlers.on(Completed)
    async def checked(delivery: Delivery[Completed]) -> None:
        event = delivery.event
        if event.request_id is None:
            raise Rejected("no-request")  # no retry would help: a dead letter at once
        await outbox.put(event.id, f"{event.request_id}: your coverage was checked")

    @handlers.on(Failed)
    async def failed(delivery: Delivery[Failed]) -> None:
        await outbox.put(delivery.event.id, f"{delivery.event.request_id}: {delivery.data.failure.kind}")

    return handlers


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True, help="host:port of a broker, several separated by commas")
    parser.add_argument("--prefix", default="", help="what the names of Covey's topics begin with")
    parser.add_argument("--outbox", type=Path, default=Path("outbox"), help="folder for the letters")
    parser.add_argument("--create-topics", action="store_true", help="make this group's own topics where missing")
    parser.add_argument("--metrics-port", type=int, help="serve metrics there, for Prometheus")
    arguments = parser.parse_args()

    link = KafkaLink(servers=tuple(arguments.kafka.split(",")))
    handlers = handlers_of(Outbox(arguments.outbox))
    if arguments.create_topics:
        # As many partitions as the topics they go with; three copies each, where there are three brokers.
        sources = log_plans(
            partitions=3, replication=1, min_insync_replicas=1, retention_days=30, prefix=arguments.prefix
        )
        own = group_topics(handlers, GROUP, arguments.prefix)
        await create_topics(link, group_plans(sources, own, RETRIES))

    registry = CollectorRegistry()
    if arguments.metrics_port is not None:
        start_http_server(arguments.metrics_port, addr="127.0.0.1", registry=registry)
    async with open_consumer(
        link,
        group=GROUP,
        handlers=handlers,
        retries=RETRIES,
        prefix=arguments.prefix,
        metrics=ConsumerMetrics(registry),
    ) as consumer:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, consumer.stop)
        await consumer.run()


if __name__ == "__main__":
    asyncio.run(main())
