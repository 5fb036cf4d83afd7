"""The log that only keeps events in memory: for tests, and what the durable one is measured against."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import islice, takewhile
from operator import attrgetter
from typing import Final, Self

from bus.calls import ended_call
from bus.ends import Ends
from bus.errors import LogUnavailable
from bus.events import Event, Recorded, Started, Topic
from bus.fold import RequestState, RequestStatus, fold
from bus.ids import CallId, MemberId, NewId, RequestId, TenantId
from bus.log import RequestPage, Span
from bus.people import PeopleAskedAbout

_position: Final = attrgetter("position")


class MemoryLog:
    """An `EventLog` and its `RequestView` that last as long as the process; they grow without a bound."""

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._last_position = 0
        self._ends = Ends({})
        self._floors = dict.fromkeys(Topic, 0)
        self._events: dict[Topic, list[Recorded]] = {topic: [] for topic in Topic}
        self._by_member: dict[tuple[TenantId, MemberId], list[Recorded]] = {}
        self._by_request: dict[RequestId, list[Recorded]] = {}
        self._states: dict[RequestId, RequestState] = {}
        self._leases: dict[CallId, tuple[datetime, Recorded]] = {}
        self._ended_calls: set[CallId] = set()
        self._people = PeopleAskedAbout(self._events_since, sys.maxsize)
        self._closed = False

    @classmethod
    async def open(cls, new_epoch: NewId) -> Self:
        """A new, empty log."""
        return cls(new_epoch())

    async def probe(self) -> None:
        """As `SqliteLog.probe`: memory can always be written."""

    async def close(self) -> None:
        """Refuse every further append and wake who waits."""
        self._closed = True
        self._ends.close()

    @property
    def epoch(self) -> str:
        return self._epoch

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:  # noqa: ARG002
        if self._closed:
            raise LogUnavailable("The log was closed.")
        results = [self._append(event) for event in events]
        self._ends.advance({recorded.event.topic: recorded.position for recorded in results if recorded is not None})
        return results

    def _append(self, event: Event) -> Recorded | None:
        recorded = Recorded(position=self._last_position + 1, event=event)
        request_id = event.request_id
        if request_id is not None:
            state = self._states.get(request_id)
            after = fold(state, recorded)
            if after is None or after is state:
                return None
            self._states[request_id] = after
            self._people.note(event)
        self._last_position = recorded.position
        self._events[event.topic].append(recorded)
        self._index(recorded)
        self._note_call(recorded)
        return recorded

    def _index(self, recorded: Recorded) -> None:
        event = recorded.event
        if event.request_id is not None:
            self._by_request.setdefault(event.request_id, []).append(recorded)
        if event.topic is Topic.RTE and event.tenant_id is not None and event.member_id is not None:
            self._by_member.setdefault((event.tenant_id, event.member_id), []).append(recorded)

    def _note_call(self, recorded: Recorded) -> None:
        data = recorded.event.data
        if isinstance(data, Started):
            leased = self._leases.get(data.call_id)
            if leased is None or data.lease_expires_at > leased[0]:
                self._leases[data.call_id] = (data.lease_expires_at, recorded)
        call_id = ended_call(data)
        if call_id is not None:
            self._ended_calls.add(call_id)

    async def read(self, topic: Topic, *, after: int, limit: int) -> Sequence[Recorded]:
        return _behind(self._events[topic], after, limit)

    async def read_member(
        self, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int
    ) -> Sequence[Recorded]:
        return _behind(self._by_member.get((tenant_id, member_id), []), after, limit)

    async def read_request(self, request_id: RequestId, *, after: int = 0) -> Sequence[Recorded]:
        return _behind(self._by_request.get(request_id, []), after)

    def beginning(self, request_id: RequestId) -> Recorded | None:
        events = self._by_request.get(request_id)
        return events[0] if events and events[0].event.sequence == 1 else None

    async def read_payers(self, *, after: int, limit: int) -> Sequence[Recorded]:
        return await self.read(Topic.PAYER, after=after, limit=limit)

    async def member_span(self, tenant_id: TenantId, member_id: MemberId, *, reaching: int = 0) -> Span:  # noqa: ARG002 - all share one order, and it is known here as it grows
        return await self._span(Topic.RTE)

    async def payers_span(self, *, reaching: int = 0) -> Span:  # noqa: ARG002 - see above
        return await self._span(Topic.PAYER)

    async def _span(self, topic: Topic) -> Span:
        return Span(floor=await self.floor(topic), end=await self.end(topic))

    async def latest_per_payer(self) -> Sequence[Recorded]:
        latest = {recorded.event.subject: recorded for recorded in self._events[Topic.PAYER]}
        return sorted(latest.values(), key=_position)

    async def end(self, topic: Topic) -> int:
        return self._ends[topic]

    async def floor(self, topic: Topic) -> int:
        return self._floors[topic]

    async def wait_beyond(self, topic: Topic, position: int) -> None:
        await self._ends.wait_beyond(topic, position)

    async def delete_before(self, topic: Topic, time: datetime) -> int:
        oldest = takewhile(lambda recorded: recorded.event.time < time, self._events[topic])
        doomed = {recorded.position: recorded.event for recorded in oldest if not self._open(recorded.event)}
        if not doomed:
            return 0
        self._people.forget()
        self._floors[topic] = max(self._floors[topic], *doomed)
        for event in doomed.values():
            if event.request_id is not None:
                self._states.pop(event.request_id, None)
        self._leases = {call_id: lease for call_id, lease in self._leases.items() if lease[1].position not in doomed}
        for events in (self._events[topic], *self._by_member.values(), *self._by_request.values()):
            events[:] = [recorded for recorded in events if recorded.position not in doomed]
        return len(doomed)

    def _open(self, event: Event) -> bool:
        state = None if event.request_id is None else self._states.get(event.request_id)
        return state is not None and not state.status.terminal

    async def get(self, tenant_id: TenantId, request_id: RequestId) -> RequestState | None:
        state = self._states.get(request_id)
        return state if state is not None and state.tenant_id == tenant_id else None

    async def states(self, request_ids: Sequence[RequestId]) -> Sequence[RequestState]:
        return [self._states[request_id] for request_id in request_ids if request_id in self._states]

    async def page(
        self,
        tenant_id: TenantId,
        *,
        member_id: MemberId | None,
        statuses: frozenset[RequestStatus],
        first: int,
        before: int | None,
    ) -> RequestPage:
        matching = (
            state
            for state in reversed(self._states.values())
            if state.tenant_id == tenant_id
            and (member_id is None or state.member_id == member_id)
            and (not statuses or state.status in statuses)
            and (before is None or state.submitted_position < before)
        )
        found = tuple(islice(matching, first + 1))
        return RequestPage(
            requests=found[:first],
            places=tuple(state.submitted_position for state in found[:first]),
            has_next=len(found) > first,
        )

    async def open_requests(self) -> AsyncIterator[RequestState]:
        for state in list(self._states.values()):
            if not state.status.terminal:
                yield state

    async def people_asked_about(
        self, tenant_id: TenantId, member_id: MemberId, caller: str, since: datetime
    ) -> frozenset[str]:
        return await self._people.since(tenant_id, member_id, caller, since)

    async def _events_since(self, tenant_id: TenantId, member_id: MemberId, time: datetime) -> Sequence[Recorded]:
        of_member = self._by_member.get((tenant_id, member_id), [])
        return [recorded for recorded in of_member if recorded.event.time >= time]

    async def calls_unaccounted(self, leased_after: datetime) -> Sequence[Recorded]:
        unaccounted = (
            recorded
            for call_id, (lease, recorded) in self._leases.items()
            if lease > leased_after and call_id not in self._ended_calls
        )
        return sorted(unaccounted, key=_position)


def _behind(events: Sequence[Recorded], position: int, limit: int = sys.maxsize) -> Sequence[Recorded]:
    first = bisect_right(events, position, key=_position)
    return events[first : first + limit]
