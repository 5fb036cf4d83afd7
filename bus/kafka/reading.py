"""What members, requests and payers had: from memory, from the view of history, and from Kafka behind both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Final, Protocol

from bus.errors import StateUnavailable
from bus.events import Recorded, Topic
from bus.history import MemberHistory
from bus.ids import MemberId, RequestId, TenantId
from bus.kafka.records import KafkaRecords, Place
from bus.kafka.seeking import Matches, Stretch
from bus.kafka.tail import KafkaTail
from bus.log import Span

_ALL: Final = 1_000_000_000


class Seeking(Protocol):
    """What is needed of `KafkaSeeker`."""

    async def ends(self, places: Iterable[Place]) -> dict[Place, int]: ...

    async def floors(self, places: Iterable[Place]) -> dict[Place, int]: ...

    async def read(self, place: Place, *, after: int, through: int, limit: int, matches: Matches) -> Stretch: ...


class KafkaReading:
    """Joins three sources into one order. Every method may raise LogUnavailable.

    The tail has the newest events of this process, the view those of all times, Kafka everything; each is asked for the
    stretch that the one before lacks. A view that cannot be reached lacks all.
    """

    def __init__(
        self,
        *,
        records: KafkaRecords,
        seeker: Seeking,
        tail: KafkaTail,
        history: MemberHistory | None,
        ends: Mapping[Place, int],
        floors: Mapping[Place, int],
    ) -> None:
        self._records = records
        self._seeker = seeker
        self._tail = tail
        self._history = history
        self._ends = dict(ends)
        self._floors = dict(floors)
        self._payers: dict[str, Recorded] = {}
        self._payers_through = 0

    def advance(self, place: Place, position: int) -> None:
        """The place is known to go this far."""
        self._ends[place] = max(self._ends[place], position)

    async def look_up_floors(self) -> None:
        """Learn what was deleted everywhere."""
        self._floors.update(await self._seeker.floors(self._floors))

    async def span(self, place: Place, reaching: int) -> Span:
        """As `EventLog.member_span`."""
        if reaching > self._ends[place]:
            self.advance(place, (await self._seeker.ends([place]))[place])
        return Span(floor=self._floors[place], end=self._ends[place])

    async def of_member(
        self, place: Place, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int
    ) -> Sequence[Recorded]:
        """As `EventLog.read_member`."""
        end = self._ends[place]
        while after < end:
            if self._tail.start(place) <= after < self._tail.reached(place):
                events = self._tail.of_member(tenant_id, member_id, after=after, limit=limit)
                after = self._tail.reached(place)
            else:
                events, after = await self._of_member_behind(place, tenant_id, member_id, after, limit)
            if events:
                return events
        return []

    async def of_request(
        self, request_id: RequestId, *, after: int, place: Place | None = None, through: int | None = None
    ) -> list[Recorded]:
        """As `EventLog.read_request`; `place` is where its events stand, if that is known.

        What stands behind `through` may be left out: others write there all the time, and the reader need not have
        come so far.
        """
        held = self._tail.of_request(request_id)
        if held is not None:
            place = Place(Topic.RTE, held[0].partition)
            known_through = self._tail.reached(place)
        else:
            held, known_through = await self._of_request_in_view(request_id)
            if held:
                place = Place(Topic.RTE, held[0].partition)
            if held and held[-1].event.terminal:  # what may come behind it does not count
                return [recorded for recorded in held if recorded.position > after]
        # Where nobody knows of it, it may be anywhere, and from the beginning.
        places = [place] if place else [known for known in self._ends if known.topic is Topic.RTE]
        found = [*held]
        for known in places:
            found += await self._of_request_behind(known, request_id, known_through if held else 0, through)
        return [recorded for recorded in found if recorded.position > after]

    async def known(self, request_ids: Set[RequestId]) -> Mapping[RequestId, Recorded | None]:
        """What the view of history says is the first event of each request, None where it says that there is none.

        Requests of which it cannot say are left out.
        """
        if self._history is None:
            return {}
        told = await asyncio.gather(*(self._first_in_view(self._history, request_id) for request_id in request_ids))
        return {request_id: first for firsts in told for request_id, first in firsts.items()}

    async def of_request_since(
        self, request_id: RequestId, place: Place, *, after: int, through: int
    ) -> Sequence[Recorded]:
        """The events of a request in a stretch of the place, for who knows that there are none before."""
        return await self._of_request_behind(place, request_id, after, through)

    async def of_payers(self, *, after: int, limit: int) -> Sequence[Recorded]:
        """As `EventLog.read_payers`."""
        place = Place(Topic.PAYER, 0)
        end = self._ends[place]
        while after < end:
            if self._tail.start(place) <= after < self._tail.reached(place):
                events: Sequence[Recorded] = self._tail.of_place(place, after=after, limit=limit)
                after = self._tail.reached(place)
            else:
                events, after = await self._seek(place, after, self._before_tail(place, after, end), limit, {})
            if events:
                return events
        return []

    async def latest_per_payer(self) -> Sequence[Recorded]:
        """As `EventLog.latest_per_payer`; reads only what came since it was asked before."""
        while events := await self.of_payers(after=self._payers_through, limit=1_000):
            self._payers |= {recorded.event.subject: recorded for recorded in events}
            self._payers_through = events[-1].position
        floor = self._floors[Place(Topic.PAYER, 0)]
        kept = [recorded for recorded in self._payers.values() if recorded.position > floor]
        return sorted(kept, key=lambda recorded: recorded.position)

    async def _of_member_behind(
        self, place: Place, tenant_id: TenantId, member_id: MemberId, after: int, limit: int
    ) -> tuple[Sequence[Recorded], int]:
        """Some stretch from `after` on, from the view or from Kafka, and how far it goes."""
        through = self._before_tail(place, after, self._ends[place])
        if self._history is not None:
            try:
                view = await self._history.of_member(tenant_id, member_id, place.partition, after=after, limit=limit)
            except StateUnavailable:
                view = None
            if view is not None and view.after <= after < view.through:
                return view.events, view.through
            if view is not None and after < view.after < view.through:
                through = min(through, view.after)  # a hole: the view goes on behind it
        wanted = {"ce_tenantid": tenant_id.encode(), "ce_memberid": member_id.encode()}
        return await self._seek(place, after, through, limit, wanted)

    async def _of_request_in_view(self, request_id: RequestId) -> tuple[Sequence[Recorded], int]:
        """The request as the view has it from its beginning, and how far that goes; nothing where it has not."""
        try:
            view = None if self._history is None else await self._history.of_request(request_id)
        except StateUnavailable:
            view = None
        if view is None or not view.events or view.events[0].event.sequence != 1:
            return (), 0
        if self._records.misplaced(view.events[0]):
            return (), 0  # written when the topic had other partitions: no part of this log's orders
        return view.events, view.through

    async def _first_in_view(
        self, history: MemberHistory, request_id: RequestId
    ) -> Mapping[RequestId, Recorded | None]:
        try:
            view = await history.of_request(request_id)
        except StateUnavailable:
            return {}
        if view is None or not view.events:
            return {request_id: None}
        first = view.events[0]
        return {request_id: first} if first.event.sequence == 1 and not self._records.misplaced(first) else {}

    async def _of_request_behind(
        self, place: Place, request_id: RequestId, after: int, through: int | None
    ) -> Sequence[Recorded]:
        found: list[Recorded] = []
        end = self._ends[place] if through is None else min(through, self._ends[place])
        while after < end:
            if self._tail.start(place) <= after < self._tail.reached(place):
                newer = self._tail.of_place(place, after=after, limit=_ALL)
                found += [recorded for recorded in newer if recorded.event.request_id == request_id]
                after = self._tail.reached(place)
            else:
                before = self._before_tail(place, after, end)
                events, after = await self._seek(place, after, before, _ALL, {"ce_subject": request_id.encode()})
                found += [recorded for recorded in events if recorded.event.request_id == request_id]
        return found

    def _before_tail(self, place: Place, after: int, end: int) -> int:
        """How far to read where the tail does not reach back to: up to the tail, or to the end beyond it."""
        return min(end, self._tail.start(place)) if after < self._tail.start(place) else end

    async def _seek(
        self, place: Place, after: int, through: int, limit: int, wanted: Mapping[str, bytes]
    ) -> tuple[Sequence[Recorded], int]:
        floor = self._floors[place]
        if through <= floor:
            return (), through
        stretch = await self._seeker.read(
            place,
            after=max(after, floor),
            through=through,
            limit=limit,
            matches=lambda headers: all(headers.get(name) == value for name, value in wanted.items()),
        )
        if stretch.floor is not None:
            self._floors[place] = max(self._floors[place], stretch.floor)
        return stretch.events, stretch.through
