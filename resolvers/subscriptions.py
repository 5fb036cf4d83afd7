"""What can be followed: one request, everything of a member, payers going down and coming back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from bus.clock import Clock
from bus.events import Recorded
from bus.ids import MemberId, PayerId, RequestId
from bus.log import RequestView
from bus.replay import StreamItem, Streams
from delivery.caller import Caller
from payer.directory import Directory
from resolvers.errors import Forbidden, InputInvalid, NotFound
from resolvers.problems import InputProblem, ProblemCode
from resolvers.progress import QueueProgress, with_progress
from scheduler.dispatcher import Dispatcher

_PAYERS_MAX: Final = 100


class Subscriptions:
    """The use cases behind the subscriptions. The generators they give are to be closed by whoever reads them, and may
    raise LogUnavailable while they run."""

    def __init__(
        self,
        *,
        streams: Streams,
        requests: RequestView,
        dispatcher: Dispatcher,
        directory: Directory,
        clock: Clock,
    ) -> None:
        self._streams = streams
        self._requests = requests
        self._dispatcher = dispatcher
        self._directory = directory
        self._clock = clock

    async def request(
        self, caller: Caller, request_id: str, *, after: str | None, progress: bool
    ) -> AsyncGenerator[StreamItem | QueueProgress, None]:
        """One request's events, up to its terminal one; with its moves in the queue if `progress`.

        Raises NotFound where there is no such request or it is not the caller's; LogUnavailable.
        """
        state = await self._requests.get(caller.tenant_id, RequestId(request_id))
        if state is None or not caller.may_see_member(state.tenant_id, state.member_id):
            raise NotFound("There is no such request.")
        items = self._streams.request(state, after, _MaySee(caller))
        if not progress:
            return items
        return with_progress(
            items, request_id=state.request_id, after=after, dispatcher=self._dispatcher, clock=self._clock
        )

    def member(self, caller: Caller, member_id: str | None, *, after: str | None) -> AsyncGenerator[StreamItem, None]:
        """Everything of a member; the caller's own where `member_id` is None. Raises Forbidden, InputInvalid."""
        whose = caller.member_id if member_id is None else MemberId(member_id)
        if whose is None and caller.is_service:
            message = "A service follows one member of its tenant: name it."
            raise InputInvalid([InputProblem(path=("memberId",), code=ProblemCode.REQUIRED, message=message)])
        if whose is None or not caller.may_see_member(caller.tenant_id, whose):
            raise Forbidden("Members may follow themselves, services every member of their tenant.")
        return self._streams.member(caller.tenant_id, whose, after, _MaySee(caller))

    def payers(
        self, caller: Caller, given: Sequence[str] | None, *, after: str | None
    ) -> AsyncGenerator[StreamItem, None]:
        """Payers going down and coming back; all where `given` (ids or aliases) is None. Raises InputInvalid."""
        payer_ids = None if given is None else self._payer_ids(given)
        return self._streams.payers(caller.tenant_id, payer_ids, after, _MaySee(caller))

    def _payer_ids(self, given: Sequence[str]) -> frozenset[PayerId]:
        if not 1 <= len(given) <= _PAYERS_MAX:
            message = f"1 to {_PAYERS_MAX} payers are allowed; all of them without this argument."
            raise InputInvalid([InputProblem(path=("payerIds",), code=ProblemCode.LENGTH, message=message)])
        found = {index: self._directory.find(payer) for index, payer in enumerate(given)}
        problems = [
            InputProblem(
                path=("payerIds", str(index)), code=ProblemCode.PAYER_UNKNOWN, message="No payer goes by this id."
            )
            for index, payer in found.items()
            if payer is None
        ]
        if problems:
            raise InputInvalid(problems)
        return frozenset(payer.id for payer in found.values() if payer is not None)


class _MaySee:
    """Asked for every event, replayed or live: those of payers are everybody's, the others their member's.

    Equal for callers who may see the same: they may share a stream, and nobody else may.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._rights = (caller.tenant_id, caller.roles, caller.member_id)

    def __call__(self, recorded: Recorded) -> bool:
        event = recorded.event
        if event.tenant_id is None or event.member_id is None:
            return event.request_id is None
        return self._caller.may_see_member(event.tenant_id, event.member_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _MaySee) and self._rights == other._rights

    def __hash__(self) -> int:
        return hash(self._rights)
