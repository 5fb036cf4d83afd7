"""The newest events of a log, kept in memory for those who follow it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from bus.ends import Ends
from bus.events import Recorded, Topic
from bus.ids import RequestId

_position: Final = attrgetter("position")


class Tail:
    """Of every topic all events behind some position; bounded by count and by bytes of data a topic.

    To be used on the event loop only.
    """

    def __init__(self, ends: Ends, *, max_events: int, max_bytes: int) -> None:
        self._topics = {topic: _TopicTail(ends[topic]) for topic in Topic}
        self._by_request: dict[str, list[Recorded]] = {}
        self._max_events = max_events
        self._max_bytes = max_bytes

    def extend(self, written: Sequence[Recorded], sizes: Sequence[int]) -> None:
        """Take in the next events of the log, with the bytes of their data, and let the oldest go."""
        for recorded, size in zip(written, sizes, strict=True):
            event = recorded.event
            self._topics[event.topic].add(recorded, size)
            if event.sequence is not None:
                self._by_request.setdefault(event.subject, []).append(recorded)
        for topic in self._topics.values():
            self._drop(topic, topic.surplus(self._max_events, self._max_bytes))

    def read(self, topic: Topic, *, after: int, limit: int) -> Sequence[Recorded] | None:
        """Up to `limit` events behind `after`; None where the tail does not reach back that far."""
        held = self._topics[topic]
        if after < held.start:
            return None
        first = bisect_right(held.events, after, key=_position)
        return held.events[first : first + limit]

    def read_request(self, request_id: RequestId) -> Sequence[Recorded] | None:
        """All events of a request; None unless its first is still here."""
        events = self._by_request.get(request_id)
        return events.copy() if events is not None and events[0].event.sequence == 1 else None

    def beginning(self, request_id: RequestId) -> Recorded | None:
        """The first event of a request; None unless it is still here."""
        events = self._by_request.get(request_id)
        return events[0] if events is not None and events[0].event.sequence == 1 else None

    def forget(self, topic: Topic, through: int) -> None:
        """Let go of the topic's events at or before that position: they may be gone from the log."""
        held = self._topics[topic]
        self._drop(held, bisect_right(held.events, through, key=_position))
        held.start = max(held.start, through)

    def _drop(self, topic: _TopicTail, count: int) -> None:
        for recorded in topic.drop(count):
            event = recorded.event
            if event.sequence is None:
                continue
            of_request = self._by_request[event.subject]
            of_request.pop(0)  # both are in log order
            if not of_request:
                del self._by_request[event.subject]


class _TopicTail:
    """One topic's share: every event behind `start`, oldest first."""

    __slots__ = ("_bytes", "_sizes", "events", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.events: list[Recorded] = []
        self._sizes: list[int] = []
        self._bytes = 0

    def add(self, recorded: Recorded, size: int) -> None:
        self.events.append(recorded)
        self._sizes.append(size)
        self._bytes += size

    def surplus(self, max_events: int, max_bytes: int) -> int:
        """How many of the oldest to drop: none within the bounds, else down to three quarters, so that it is rare."""
        count, size = len(self.events), self._bytes
        if count <= max_events and size <= max_bytes:
            return 0
        dropped = 0
        while count > max_events * 3 // 4 or size > max_bytes * 3 // 4:
            size -= self._sizes[dropped]
            count -= 1
            dropped += 1
        return dropped

    def drop(self, count: int) -> Sequence[Recorded]:
        """Take the oldest out."""
        if count == 0:
            return ()
        dropped = self.events[:count]
        self._bytes -= sum(self._sizes[:count])
        del self.events[:count], self._sizes[:count]
        self.start = dropped[-1].position
        return dropped
