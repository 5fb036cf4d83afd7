"""Every metric once: name, kind, unit, meaning. Labels hold no health data and are bounded sets."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_CALL_SECONDS: Final = (0.1, 0.5, 1, 2, 3, 5, 8, 12, 20, 30, 60, 90, 120, 180)
_FAST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The collectors of one process, on a registry of their own so that tests do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.submits = Counter(
            "covey_submits_total",
            "Coverage submissions by result: accepted, answered, invalid, refused.",
            ["result"],
            registry=self.registry,
        )
        self.queue = Gauge(
            "covey_queue_requests", "Calls waiting for a slot, by priority.", ["priority"], registry=self.registry
        )
        self.slots = Gauge("covey_slots", "Slots by state: held, free.", ["state"], registry=self.registry)
        self.state_reachable = Gauge(
            "covey_state_reachable",
            "1 where slots and queue can be asked, 0 while Redis is away.",
            registry=self.registry,
        )
        self.call_seconds = Histogram(
            "covey_call_duration_seconds",
            "Time a payer's call took, by how it ended.",
            ["end"],
            buckets=_CALL_SECONDS,
            registry=self.registry,
        )
        self.outcomes = Counter(
            "covey_outcomes_total", "Requests ended, by terminal event type.", ["type"], registry=self.registry
        )
        self.append_seconds = Histogram(
            "covey_append_duration_seconds",
            "Time until an append was durable.",
            buckets=_FAST_SECONDS,
            registry=self.registry,
        )
        self.deliveries = Counter(
            "covey_deliveries_total", "Items sent to subscribers, by door.", ["door"], registry=self.registry
        )
        self.gaps = Counter(
            "covey_gaps_total", "Streams that could not be continued, by reason.", ["reason"], registry=self.registry
        )
        self.connections = Gauge(
            "covey_connections", "Open connections that live on, by door.", ["door"], registry=self.registry
        )
        self.subscriptions = Gauge(
            "covey_subscriptions", "Running operations of such connections, by door.", ["door"], registry=self.registry
        )
        self.bytes = Counter(
            "covey_delivered_bytes_total",
            "Bytes of messages handed to the network for clients, by door.",
            ["door"],
            registry=self.registry,
        )
        self.paused = Gauge(
            "covey_paused_connections",
            "Connections whose reader leaves more unread than is held for it.",
            registry=self.registry,
        )
        self.queued = Gauge(
            "covey_undelivered_events", "Live events that wait for their subscriptions.", registry=self.registry
        )
        self.handshake_seconds = Histogram(
            "covey_handshake_duration_seconds",
            "Time from a client's connection_init to its ack.",
            buckets=_FAST_SECONDS,
            registry=self.registry,
        )
        self.waiting_handshakes = Gauge(
            "covey_waiting_handshakes", "Sockets that wait for their turn.", registry=self.registry
        )
        self.refusals = Counter(
            "covey_refusals_total", "What a limit refused, by limit.", ["limit"], registry=self.registry
        )
        self.replays = Counter(
            "covey_replays_total", "Streams that were continued from a cursor.", registry=self.registry
        )
        self.history_reads = Counter(
            "covey_history_reads_total",
            "Reads of history for streams: own, or shared with another that wanted the same.",
            ["how"],
            registry=self.registry,
        )
        self.revocations = Counter(
            "covey_revocations_total", "Revocations this instance was asked for.", registry=self.registry
        )
        self.closes = Counter(
            "covey_connection_closes_total",
            "Sockets closed by the server, by cause.",
            ["cause"],
            registry=self.registry,
        )
        self.reader_lag = Gauge(
            "covey_reader_lag_events",
            "Events the reader of a topic is behind its end.",
            ["topic"],
            registry=self.registry,
        )
        self.reader_restarts = Counter(
            "covey_reader_restarts_total",
            "Readers that failed and were started again.",
            ["topic"],
            registry=self.registry,
        )
        self.reader_broker_failures = Counter(
            "covey_reader_broker_failures_total",
            "Times that a broker could not be read, by the kind of error; leaders that move are none.",
            ["error"],
            registry=self.registry,
        )
        self.internal_errors = Counter(
            "covey_internal_errors_total",
            "Unexpected exceptions, masked to callers.",
            ["where"],
            registry=self.registry,
        )
