"""The figures of a consumer, each with its unit and its reason."""

from __future__ import annotations

from msgspec import Struct


class Tuning(Struct, frozen=True, kw_only=True):
    """Defaults fit handlers that wait for others; raise `concurrency` for many short waits."""

    concurrency: int = 15
    """Handlers at work at once, each on another key."""
    room: int = 1000
    """Records in memory that wait for a handler; beyond it nothing is read."""
    waiting_a_partition: int = 1000
    """Records of one retry partition that wait in memory until they are due; beyond it the partition is paused."""
    uncommitted: int = 10_000
    """Records of one partition that a restart would read again; beyond it the partition waits for its oldest."""
    remembered: int = 100_000
    """Names of handled events that are remembered, to pass over duplicates; about 200 bytes each."""
    drain_seconds: float = 10
    """When partitions go to another consumer: how long handlers at work may take to end, before they are cancelled."""
    commit_seconds: float = 1
    """Between two commits."""
    poll_seconds: float = 0.2
    """The longest wait in one poll; retries are at most about this late."""
    watch_seconds: float = 5
    """Between two measurements of lag, and looks of the watchdog."""
    stall_seconds: float = 30
    """Without progress, though there is something to read, until the Kafka client is made anew."""
    session_seconds: float = 10
    """Without a heartbeat, until Kafka takes the consumer for dead."""
    max_poll_seconds: float = 30
    """Without a poll, until the client leaves the group; handlers do not count, however long they take."""
