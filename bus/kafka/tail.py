"""The newest events of a log on Kafka, kept in memory for those who follow it, and how far this process has read."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, TypeVar

from bus.events import Recorded, encode_data
from bus.ids import MemberId, RequestId, TenantId
from bus.kafka.records import Place

_Key = TypeVar("_Key")
_position: Final = attrgetter("position")
_PLACE: Final = attrgetter("event.topic", "partition")
_MEMBER: Final = attrgetter("event.tenant_id", "event.member_id")


class KafkaTail:
    """Of every place all events behind some position, bounded by their count and by the bytes of their data; the oldest
    go first, whichever place they are of.

    The first sink of the log's reader. To be used on the event loop only.
    """

    def __init__(self, starts: Mapping[Place, int], *, max_events: int, max_bytes: int) -> None:
        """`starts` is where the reader begins."""
        self._starts = dict(starts)
        self._reached = dict(starts)
        self._events: dict[Place, deque[Recorded]] = {place: deque() for place in starts}
        self._by_request: dict[RequestId, deque[Recorded]] = {}
        self._headless: set[RequestId] = set()
        """Requests whose true beginning is not here, though another event that says it is their first may be."""
        self._by_member: dict[tuple[TenantId | None, MemberId | None], deque[Recorded]] = {}
        self._ages: deque[tuple[Place, int]] = deque()
        """The place of each, and the bytes of its data."""
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._waiting: dict[Place, asyncio.Event] = {}

    async def take(self, batch: Sequence[Recorded]) -> None:
        """Take in the next events; those that were taken before, and came again, change nothing."""
        for (topic, partition), events in groupby(batch, _PLACE):
            place = Place(topic, partition)
            reached = self._reached[place]
            for recorded in events:
                if recorded.position > reached:
                    self._add(place, recorded)
                    reached = recorded.position
            self.reach(place, reached)
        while len(self._ages) > self._max_events or self._bytes > self._max_bytes:
            place, size = self._ages.popleft()
            self._bytes -= size
            self._drop(place)

    def reach(self, place: Place, position: int) -> None:
        """The reader has come this far."""
        self._reached[place] = max(self._reached[place], position)
        if (waiting := self._waiting.pop(place, None)) is not None:
            waiting.set()

    def start(self, place: Place) -> int:
        """Every event of the place behind this position, up to where the reader has come, is here."""
        return self._starts[place]

    def reached(self, place: Place) -> int:
        """How far the reader has come."""
        return self._reached[place]

    async def wait_reached(self, place: Place, position: int) -> None:
        """Return as soon as the reader has come this far."""
        while self._reached[place] < position:
            await self._waiting.setdefault(place, asyncio.Event()).wait()

    def of_place(self, place: Place, *, after: int, limit: int) -> Sequence[Recorded]:
        """Up to `limit` events of the place behind `after`."""
        return _behind(self._events[place], after, limit)

    def of_member(self, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int) -> Sequence[Recorded]:
        """Up to `limit` events of the member behind `after`."""
        return _behind(self._by_member.get((tenant_id, member_id), []), after, limit)

    def of_request(self, request_id: RequestId) -> Sequence[Recorded] | None:
        """All events of a request up to where the reader has come; None unless its first is still here."""
        return None if self.beginning(request_id) is None else list(self._by_request[request_id])

    def beginning(self, request_id: RequestId) -> Recorded | None:
        """The first event of a request; None unless it is still here."""
        events = self._by_request.get(request_id)
        if events is None or events[0].event.sequence != 1 or request_id in self._headless:
            return None
        return events[0]

    def lost(self, recorded: Recorded) -> None:
        """A first event of a request that had begun before: it is not the beginning, unless that one is here too."""
        request_id = RequestId(recorded.event.subject)
        events = self._by_request.get(request_id)
        if recorded.position > self._starts[Place(recorded.event.topic, recorded.partition)] and (
            not events or events[0].position >= recorded.position
        ):
            self._headless.add(request_id)

    def newest_of_request(self, request_id: RequestId) -> Sequence[Recorded]:
        """Its events that are here; the first may have gone."""
        return self._by_request.get(request_id, ())

    def newest_of_member(self, tenant_id: TenantId, member_id: MemberId) -> Sequence[Recorded]:
        """Its events that are here."""
        return self._by_member.get((tenant_id, member_id), ())

    def _add(self, place: Place, recorded: Recorded) -> None:
        # Measured once, as JSON: the record's own size, which may be sealed or compressed, is not told with the event.
        size = len(encode_data(recorded.event.data))
        self._ages.append((place, size))
        self._bytes += size
        self._events[place].append(recorded)
        if (request_id := recorded.event.request_id) is not None:
            _append(self._by_request, request_id, recorded)
        if recorded.event.member_id is not None:
            _append(self._by_member, _MEMBER(recorded), recorded)

    def _drop(self, place: Place) -> None:
        recorded = self._events[place].popleft()
        self._starts[place] = recorded.position
        if (request_id := recorded.event.request_id) is not None:
            _drop_first(self._by_request, request_id)
            if request_id in self._by_request:
                self._headless.add(request_id)
            else:
                self._headless.discard(request_id)
        if recorded.event.member_id is not None:
            _drop_first(self._by_member, _MEMBER(recorded))


def _append(index: dict[_Key, deque[Recorded]], key: _Key, recorded: Recorded) -> None:
    events = index.get(key)
    if events is None:
        events = index[key] = deque()
    events.append(recorded)


def _drop_first(index: dict[_Key, deque[Recorded]], key: _Key) -> None:
    events = index[key]
    events.popleft()  # every index is in the order of its place, so what is oldest there is first here
    if not events:
        del index[key]


def _behind(events: Sequence[Recorded], position: int, limit: int) -> Sequence[Recorded]:
    first = bisect_right(events, position, key=_position)
    return [events[index] for index in range(first, min(first + limit, len(events)))]
