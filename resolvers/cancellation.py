"""Giving a request up."""

from __future__ import annotations

from msgspec import Struct

from bus.errors import LogUnavailable, StateUnavailable
from bus.ids import RequestId
from bus.log import RequestView
from delivery.caller import Caller
from resolvers.answers import Answers, RequestAnswer
from resolvers.refusal import LOG_AWAY, RefusalReason, Refused
from scheduler.dispatcher import Dispatcher
from scheduler.errors import AlreadyFinished


class Cancelled(Struct, frozen=True, kw_only=True):
    """The request has ended; a call under way runs on and feeds the cache."""

    request: RequestAnswer


CancelResult = Cancelled | Refused


class Cancellation:
    """The use case behind `cancelCoverageRequest`."""

    def __init__(self, *, requests: RequestView, dispatcher: Dispatcher, answers: Answers) -> None:
        self._requests = requests
        self._dispatcher = dispatcher
        self._answers = answers

    async def cancel(self, caller: Caller, request_id: str) -> CancelResult:
        """End the request, or say why not; nothing that is expected is raised."""
        try:
            state = await self._requests.get(caller.tenant_id, RequestId(request_id))
            if state is None or not caller.may_see_member(state.tenant_id, state.member_id):
                return Refused(reason=RefusalReason.NOT_FOUND, message="There is no such request.")
            cancelled = await self._dispatcher.cancel(state)
        except AlreadyFinished:
            return Refused(reason=RefusalReason.ALREADY_FINISHED, message="The request has ended already.")
        except (LogUnavailable, StateUnavailable):
            return LOG_AWAY
        return Cancelled(request=self._answers.request(cancelled))
