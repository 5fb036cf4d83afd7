"""Whom members asked about, remembered so that each further question need not read their history."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from bus.events import Event, Purpose, Recorded, Submitted
from bus.ids import MemberId, TenantId
from bus.question import Question

_Asker = tuple[TenantId, MemberId, str]
"""A caller who asks for a member: what another asks for the same member, such as a service, is not theirs."""


class _Asking(NamedTuple):
    asker: _Asker
    question: Question
    time: datetime


class _Asked:
    """The people one caller asked about for one member, complete since some time."""

    __slots__ = ("last_asked", "loaded", "since")

    def __init__(self, since: datetime) -> None:
        self.since = since
        self.loaded = False
        self.last_asked: dict[str, datetime] = {}

    def note(self, asking: _Asking) -> None:
        person = asking.question.person_key(asking.asker[0])
        self.last_asked[person] = max(asking.time, self.last_asked.get(person, asking.time))


class PeopleAskedAbout:
    """A bounded memory of `Question.person_key` by member and caller: of those who asked lately.

    `read` gives the log's `rte.submitted` events of a member since a time. To be used on the event loop only.
    """

    def __init__(
        self, read: Callable[[TenantId, MemberId, datetime], Awaitable[Iterable[Recorded]]], max_askers: int
    ) -> None:
        self._read = read
        self._max_askers = max_askers
        self._askers: OrderedDict[_Asker, _Asked] = OrderedDict()

    async def since(self, tenant_id: TenantId, member_id: MemberId, caller: str, time: datetime) -> frozenset[str]:
        """As `RequestView.people_asked_about`."""
        asker = (tenant_id, member_id, caller)
        asked = self._askers.get(asker)
        if asked is None or not asked.loaded or time < asked.since:
            asked = await self._load(asker, time)
        else:
            self._askers.move_to_end(asker)
        return frozenset(person for person, last in asked.last_asked.items() if last >= time)

    def note(self, event: Event) -> None:
        """Take in an event that was just written."""
        asking = _asking(event)
        asked = None if asking is None else self._askers.get(asking.asker)
        if asking is not None and asked is not None:
            asked.note(asking)

    def forget(self) -> None:
        """Start afresh: events were deleted."""
        self._askers.clear()

    async def _load(self, asker: _Asker, time: datetime) -> _Asked:
        asked = self._askers[asker] = _Asked(time)  # takes in what is written while the log is read
        tenant_id, member_id, _ = asker
        for recorded in await self._read(tenant_id, member_id, time):
            asking = _asking(recorded.event)
            if asking is not None and asking.asker == asker:
                asked.note(asking)
        asked.loaded = True
        while len(self._askers) > self._max_askers:
            self._askers.popitem(last=False)
        return asked


def person_asked_about(event: Event, tenant_id: TenantId, member_id: MemberId, caller: str) -> str | None:
    """The `Question.person_key` of whom the caller asked about for the member by this event, if that is what it is."""
    asking = _asking(event)
    if asking is None or asking.asker != (tenant_id, member_id, caller):
        return None
    return asking.question.person_key(tenant_id)


def _asking(event: Event) -> _Asking | None:
    """Who asked about whom, where the event is a submission that somebody made."""
    data = event.data
    if event.sequence != 1 or not isinstance(data, Submitted) or data.purpose is not Purpose.ASKED:
        return None
    if event.tenant_id is None or event.member_id is None:
        return None
    return _Asking((event.tenant_id, event.member_id, data.caller), data.question, event.time)
