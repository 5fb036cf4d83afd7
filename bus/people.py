"""Whom members asked about, remembered so that each further question need not read their history."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from bus.events import Event, Purpose, Recorded, Submitted
from bus.ids import MemberId, TenantId

_Member = tuple[TenantId, MemberId]


class _Asked:
    """One member's people, complete since some time."""

    __slots__ = ("last_asked", "loaded", "since")

    def __init__(self, since: datetime) -> None:
        self.since = since
        self.loaded = False
        self.last_asked: dict[str, datetime] = {}

    def note(self, tenant_id: TenantId, event: Event) -> None:
        data = event.data
        if isinstance(data, Submitted) and data.purpose is Purpose.ASKED:
            person = data.question.person_key(tenant_id)
            self.last_asked[person] = max(event.time, self.last_asked.get(person, event.time))


class PeopleAskedAbout:
    """A bounded memory of `Question.person_key` by member: of those who asked lately.

    `read` gives the log's `rte.submitted` events of a member since a time. To be used on the event loop only.
    """

    def __init__(
        self, read: Callable[[TenantId, MemberId, datetime], Awaitable[Iterable[Recorded]]], max_members: int
    ) -> None:
        self._read = read
        self._max_members = max_members
        self._members: OrderedDict[_Member, _Asked] = OrderedDict()

    async def since(self, tenant_id: TenantId, member_id: MemberId, time: datetime) -> frozenset[str]:
        """As `RequestView.people_asked_about`."""
        member = (tenant_id, member_id)
        asked = self._members.get(member)
        if asked is None or not asked.loaded or time < asked.since:
            asked = await self._load(member, time)
        else:
            self._members.move_to_end(member)
        return frozenset(person for person, last in asked.last_asked.items() if last >= time)

    def note(self, event: Event) -> None:
        """Take in an event that was just written."""
        if event.sequence == 1 and event.tenant_id is not None and event.member_id is not None:
            asked = self._members.get((event.tenant_id, event.member_id))
            if asked is not None:
                asked.note(event.tenant_id, event)

    def forget(self) -> None:
        """Start afresh: events were deleted."""
        self._members.clear()

    async def _load(self, member: _Member, time: datetime) -> _Asked:
        asked = self._members[member] = _Asked(time)  # takes in what is written while the log is read
        for recorded in await self._read(*member, time):
            asked.note(member[0], recorded.event)
        asked.loaded = True
        while len(self._members) > self._max_members:
            self._members.popitem(last=False)
        return asked
