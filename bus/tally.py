"""Which events of requests count, for whoever goes through the log in order."""

from __future__ import annotations

from typing import Final

from bus.events import Recorded, Topic
from bus.fold import RequestState, fold
from bus.ids import RequestId
from bus.log import EventLog

_OPEN_REQUESTS: Final = 64


class Tally:
    """Folds each request along the way, so that events which the fold ignores are told from those that count.

    Only open requests are remembered, and of these the latest met; one that is met again, or first met in the middle,
    is read from the log once. Where its beginning was deleted, the rest does not count, as in every other view.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._states: dict[RequestId, RequestState] = {}

    async def counts(self, recorded: Recorded) -> bool:
        """Whether the event, which stands behind all that were asked about before, counts for its request.

        Every event of a payer counts; one of a call alone is nobody's to see.
        """
        request_id = recorded.event.request_id
        if request_id is None:
            return recorded.event.topic is Topic.PAYER
        before = self._states.pop(request_id, None) or await folded(self._log, request_id, before=recorded.position)
        after = fold(before, recorded)
        if after is not None and not after.status.terminal:
            self._states[request_id] = after
            if len(self._states) > _OPEN_REQUESTS:
                del self._states[next(iter(self._states))]
        return after is not before


async def folded(log: EventLog, request_id: RequestId, *, before: int | None = None) -> RequestState | None:
    """The request as the log tells it, up to but not including position `before` if one is given."""
    state: RequestState | None = None
    for recorded in await log.read_request(request_id):
        if before is not None and recorded.position >= before:
            break
        state = fold(state, recorded)
    return state
