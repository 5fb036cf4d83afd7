"""Looking at coverage requests by polling."""

from __future__ import annotations

from collections.abc import Collection

from bus.cursor import Cursors, CursorScope
from bus.events import Topic
from bus.fold import RequestStatus
from bus.ids import MemberId, RequestId
from bus.log import RequestView
from delivery.caller import Caller
from resolvers.answers import Answers, RequestAnswer
from resolvers.errors import Forbidden
from resolvers.pages import Entry, Page, PageCursors, check_page_size


class Requests:
    """The use cases behind `coverageRequest` and `coverageRequests`. All may raise LogUnavailable."""

    def __init__(self, *, requests: RequestView, cursors: Cursors, answers: Answers) -> None:
        self._requests = requests
        self._cursors = cursors
        self._answers = answers

    async def get(self, caller: Caller, request_id: str) -> RequestAnswer | None:
        """The request as it stands; None where it is unknown or not the caller's to see."""
        state = await self._requests.get(caller.tenant_id, RequestId(request_id))
        if state is None or not caller.may_see_member(state.tenant_id, state.member_id):
            return None
        return await self._answers.present(state)

    async def page(
        self,
        caller: Caller,
        *,
        member_id: str | None,
        statuses: Collection[RequestStatus],
        first: int,
        after: str | None,
    ) -> Page[RequestAnswer]:
        """Requests, newest first: a member's own, or those of a service's tenant or of one member of it.

        Raises Forbidden, InputInvalid.
        """
        member = _whose(caller, member_id)
        check_page_size(first)
        cursors = PageCursors(self._cursors, CursorScope(caller.tenant_id, member, "requests"), Topic.RTE)
        page = await self._requests.page(
            caller.tenant_id,
            member_id=member,
            statuses=frozenset(statuses),
            first=first,
            before=cursors.open(after),
        )
        entries = [
            Entry(cursor=cursors.seal(place), node=await self._answers.present(state))
            for state, place in zip(page.requests, page.places, strict=True)
        ]
        return Page(entries=entries, has_next=page.has_next, has_previous=after is not None)


def _whose(caller: Caller, member_id: str | None) -> MemberId | None:
    """Whose requests are listed; None for the whole tenant's. Raises Forbidden."""
    if member_id is None:
        if caller.is_service:
            return None
        member_id = caller.member_id
    if member_id is None or not caller.may_see_member(caller.tenant_id, MemberId(member_id)):
        raise Forbidden("Members may list their own requests, services those of their tenant.")
    return MemberId(member_id)
