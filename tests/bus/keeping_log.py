"""A list of events behind the log's port that keeps what the fold refuses, as a log without a judge at its door does.

Reads pause where the test says, so that appends, deletions and consumers can come in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from itertools import count

from bus.ends import Ends
from bus.events import Event, Recorded, Topic
from bus.ids import MemberId, RequestId, TenantId
from bus.log import Span


async def _at_once() -> None:
    pass


class KeepingLog:
    """An `EventLog`; `pause` is awaited before and after every read, `reads` counts them."""

    def __init__(self, pause: Callable[[], Awaitable[None]] = _at_once) -> None:
        self.epoch = "epoch1"
        self.events: list[Recorded] = []
        self.floors = dict.fromkeys(Topic, 0)
        self.reads = 0
        self._pause = pause
        self._ends = Ends({})
        self._positions = count(1)

    def write(self, *events: Event) -> list[Recorded]:
        """`append` without a pause."""
        written = [Recorded(position=next(self._positions), event=event) for event in events]
        self.events += written
        self._ends.advance({recorded.event.topic: recorded.position for recorded in written})
        return written

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        return self.write(*events)

    async def read(self, topic: Topic, *, after: int, limit: int) -> Sequence[Recorded]:
        return (await self._read(lambda recorded: recorded.event.topic is topic, after))[:limit]

    async def read_member(
        self, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int
    ) -> Sequence[Recorded]:
        def of_member(recorded: Recorded) -> bool:
            return (recorded.event.tenant_id, recorded.event.member_id) == (tenant_id, member_id)

        return (await self._read(of_member, after))[:limit]

    async def read_request(self, request_id: RequestId, *, after: int = 0) -> Sequence[Recorded]:
        return await self._read(lambda recorded: recorded.event.request_id == request_id, after)

    def beginning(self, request_id: RequestId) -> Recorded | None:
        return None  # who asks has to read

    async def read_payers(self, *, after: int, limit: int) -> Sequence[Recorded]:
        return await self.read(Topic.PAYER, after=after, limit=limit)

    async def member_span(self, tenant_id: TenantId, member_id: MemberId, *, reaching: int = 0) -> Span:
        return await self._span(Topic.RTE)

    async def payers_span(self, *, reaching: int = 0) -> Span:
        return await self._span(Topic.PAYER)

    async def _span(self, topic: Topic) -> Span:
        return Span(floor=await self.floor(topic), end=await self.end(topic))

    async def latest_per_payer(self) -> Sequence[Recorded]:
        events = await self._read(lambda recorded: recorded.event.topic is Topic.PAYER, 0)
        latest = {recorded.event.subject: recorded for recorded in events}
        return sorted(latest.values(), key=lambda recorded: recorded.position)

    async def end(self, topic: Topic) -> int:
        return self._ends[topic]

    async def floor(self, topic: Topic) -> int:
        return self.floors[topic]

    async def wait_beyond(self, topic: Topic, position: int) -> None:
        await self._ends.wait_beyond(topic, position)

    async def delete_before(self, topic: Topic, time: datetime) -> int:
        raise NotImplementedError

    def delete_through(self, topic: Topic, position: int) -> None:
        """Delete the topic's events up to that position."""
        self.events = [
            recorded for recorded in self.events if recorded.event.topic is not topic or recorded.position > position
        ]
        self.floors[topic] = position

    async def _read(self, matches: Callable[[Recorded], bool], after: int) -> list[Recorded]:
        self.reads += 1
        await self._pause()
        found = [recorded for recorded in self.events if recorded.position > after and matches(recorded)]
        await self._pause()
        return found
