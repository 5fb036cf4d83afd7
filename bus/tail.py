"""The newest events of a log, kept in memory for those who follow it."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final

from bus.errors import LogUnavailable
from bus.events import Recorded, Topic
from bus.ids import RequestId

_position: Final = attrgetter("position")


class Tail:
    """A topic's events behind some position, without a hole, up to its end; bounded by count and bytes a topic.

    `ends` are the topics' newest positions when the log was opened. To be used on the event loop only.
    """

    def __init__(self, ends: Mapping[Topic, int], *, max_events: int, max_bytes: int) -> None:
        self._topics = {topic: _TopicTail(ends.get(topic, 0)) for topic in Topic}
        self._by_request: dict[str, list[Recorded]] = {}
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._closed = False

    def extend(self, written: Sequence[Recorded], sizes: Sequence[int]) -> None:
        """Take in events in log order with the bytes of their data, let the oldest go, and wake who waits."""
        grown = set()
        for recorded, size in zip(written, sizes, strict=True):
            event = recorded.event
            topic = self._topics[event.topic]
            topic.add(recorded, size)
            grown.add(topic)
            if event.sequence is not None:
                self._by_request.setdefault(event.subject, []).append(recorded)
        for topic in grown:
            self._forget(topic, topic.surplus(self._max_events, self._max_bytes))
            topic.wake()

    def read(self, topic: Topic, *, after: int, limit: int) -> Sequence[Recorded] | None:
        """Up to `limit` events behind `after`; None where the tail does not reach back that far."""
        held = self._topics[topic]
        if after < held.start:
            return None
        first = bisect_right(held.events, after, key=_position)
        return held.events[first : first + limit]

    def read_request(self, request_id: RequestId) -> Sequence[Recorded] | None:
        """All events of a request; None unless its first is in the tail."""
        events = self._by_request.get(request_id)
        return events if events is not None and events[0].event.sequence == 1 else None

    def end(self, topic: Topic) -> int:
        """The position of the topic's newest event ever written; 0 if there was none."""
        return self._topics[topic].end

    def forget(self, topic: Topic, through: int) -> None:
        """Let go of the topic's events at or before that position: they may be gone from the log."""
        held = self._topics[topic]
        self._forget(held, bisect_right(held.events, through, key=_position))
        held.start = max(held.start, through)

    async def wait_beyond(self, topic: Topic, position: int) -> None:
        """Return as soon as the topic ends behind `position`. Raises LogUnavailable when the log is closed."""
        held = self._topics[topic]
        while held.end <= position:
            if self._closed:
                raise LogUnavailable("The log was closed.")
            await held.grown.wait()

    def close(self) -> None:
        """Tell everybody who waits that nothing will come."""
        self._closed = True
        for topic in self._topics.values():
            topic.wake()

    def _forget(self, topic: _TopicTail, count: int) -> None:
        for recorded in topic.drop(count):
            of_request = self._by_request.get(recorded.event.subject)
            if of_request is not None and recorded.event.sequence is not None:
                of_request.remove(recorded)
                if not of_request:
                    del self._by_request[recorded.event.subject]


class _TopicTail:
    """One topic's share: every event behind `start`, oldest first."""

    __slots__ = ("_bytes", "_sizes", "end", "events", "grown", "start")

    def __init__(self, end: int) -> None:
        self.start = end
        self.end = end
        self.events: list[Recorded] = []
        self._sizes: list[int] = []
        self._bytes = 0
        self.grown = asyncio.Event()

    def add(self, recorded: Recorded, size: int) -> None:
        self.events.append(recorded)
        self._sizes.append(size)
        self._bytes += size
        self.end = recorded.position

    def surplus(self, max_events: int, max_bytes: int) -> int:
        """How many of the oldest are over a bound; a quarter more goes with them, so that this is seldom needed."""
        if len(self.events) <= max_events and self._bytes <= max_bytes:
            return 0
        count, held = len(self.events), self._bytes
        for dropped, size in enumerate(self._sizes):
            if count <= max_events * 3 // 4 and held <= max_bytes * 3 // 4:
                return dropped
            count, held = count - 1, held - size
        return len(self._sizes)

    def drop(self, count: int) -> list[Recorded]:
        """Take the oldest out."""
        if not count:
            return []
        dropped = self.events[:count]
        self._bytes -= sum(self._sizes[:count])
        del self.events[:count], self._sizes[:count]
        self.start = dropped[-1].position
        return dropped

    def wake(self) -> None:
        """Let those go on who waited for this topic to grow."""
        self.grown.set()
        self.grown = asyncio.Event()
