"""What a consumer tells about itself. Labels are the group, its topics, and closed sets of words."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_GAP_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class ConsumerMetrics:
    """The collectors of all consumers on one registry: make it once a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "covey_consumer_events_total",
            "Events by what became of them: handled, duplicate, passed_over, retried, dead.",
            ["group", "result"],
            registry=registry,
        )
        self.lag = Gauge(
            "covey_consumer_lag_events",
            "Events of a topic that were not handled yet, over the partitions this consumer has.",
            ["group", "topic"],
            registry=registry,
        )
        self.halted = Gauge(
            "covey_consumer_halted",
            "1 while the consumer stands still because too much would become dead letters.",
            ["group"],
            registry=registry,
        )
        self.poll_gap_seconds = Histogram(
            "covey_consumer_poll_gap_seconds",
            "Time between two polls; Kafka expels a consumer that lets it grow.",
            ["group"],
            buckets=_GAP_SECONDS,
            registry=registry,
        )
        self.restarts = Counter(
            "covey_consumer_restarts_total",
            "Kafka clients that were made anew, by cause: stalled, failed.",
            ["group", "cause"],
            registry=registry,
        )
        self.lost = Counter(
            "covey_consumer_lost_events_total",
            "Events that Kafka deleted before they were read.",
            ["group", "topic"],
            registry=registry,
        )
