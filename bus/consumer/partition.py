"""A partition while it is this consumer's, and the records of it that are at work."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime

from bus.consumer.handlers import Called
from bus.consumer.letters import Origin
from bus.consumer.offsets import OffsetTracker
from bus.consumer.record import Partition, Record


class Assigned:
    """One partition, from its assignment until it is revoked; assigned again, it is another one of these."""

    __slots__ = ("committed", "due_waiting", "id", "offsets", "retry")

    def __init__(self, partition: Partition, *, retry: bool) -> None:
        self.id = partition
        self.retry = retry
        """Of one of the group's retry topics."""
        self.offsets = OffsetTracker()
        self.committed: int | None = None
        """What this assignment committed last."""
        self.due_waiting = 0
        """Its records in memory that are not due."""


class Work:
    """One record with a handler, until its offset may be committed."""

    __slots__ = ("assigned", "attempts", "called", "due", "lane", "origin", "record")

    def __init__(self, record: Record, assigned: Assigned, called: Called | None) -> None:
        self.record = record
        self.assigned = assigned
        self.called = called
        """None for a record that says of no type."""
        self.lane: Hashable = assigned.id if record.key is None else record.key
        self.attempts = 0
        """Deliveries in vain so far."""
        self.origin: Origin | None = None
        """Where it was first read, if that was elsewhere."""
        self.due: datetime | None = None

    @property
    def first_read(self) -> Origin:
        return self.origin or Origin(self.assigned.id.topic, self.assigned.id.partition, self.record.offset)
