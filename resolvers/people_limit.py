"""How many different people a member may ask about a day, so that nobody fishes for strangers' coverage."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from datetime import datetime, time, timedelta

import structlog

from bus.clock import Clock
from bus.errors import StateUnavailable
from bus.ids import MemberId, TenantId
from bus.log import RequestView
from bus.question import Question
from delivery.caller import Caller
from resolvers.refusal import RefusalReason, Refused

_logger = structlog.get_logger(__name__)


class PeopleLimit:
    """Counts by the log, by the day in UTC, what the member's own subject asked: a service that asks for the member
    takes nothing from them. What this process is about to write counts too, so that asking about many at once gets
    nobody further."""

    def __init__(self, *, requests: RequestView, clock: Clock, people_per_day: int) -> None:
        self._requests = requests
        self._clock = clock
        self._people_per_day = people_per_day
        self._under_way: dict[tuple[TenantId, MemberId, str], Counter[str]] = {}

    @asynccontextmanager
    async def asking(self, caller: Caller, question: Question) -> AsyncIterator[Refused | None]:
        """To be held until the request is durable, or was refused; gives the refusal where the limit is reached.

        May raise LogUnavailable.
        """
        asker = (caller.tenant_id, question.member_id, caller.subject)
        person = question.person_key(caller.tenant_id)
        # Who comes later counts who came before: from here, or from the log once it is there.
        under_way = self._under_way.setdefault(asker, Counter())
        under_way[person] += 1
        others_under_way = set(under_way)
        try:
            now = self._clock.now()
            midnight = datetime.combine(now.date(), time(), now.tzinfo)
            known = await self._known(asker, midnight)
            people = known | others_under_way
            over = person not in known and len(people) > self._people_per_day
            yield self._refused(now, midnight) if over else None
        finally:
            under_way[person] -= 1
            if not under_way[person]:
                del under_way[person]
            if not under_way:
                self._under_way.pop(asker, None)

    async def _known(self, asker: tuple[TenantId, MemberId, str], midnight: datetime) -> Set[str]:
        """People asked about since midnight; nobody while that cannot be told: being asked matters more then."""
        try:
            return await self._requests.people_asked_about(*asker, midnight)
        except StateUnavailable as error:
            _logger.warning("people_not_counted", reason=str(error))
            return frozenset()

    def _refused(self, now: datetime, midnight: datetime) -> Refused:
        left = midnight + timedelta(days=1) - now
        return Refused(
            reason=RefusalReason.RATE_LIMITED,
            message=f"At most {self._people_per_day} different people a day can be asked about for one member.",
            retry_after_seconds=int(left.total_seconds()) + 1,
        )
