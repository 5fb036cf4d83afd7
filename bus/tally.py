"""Which events of requests count, for whoever goes through the log in order."""

from __future__ import annotations

from typing import Final

from bus.events import Event, Recorded, Topic
from bus.fold import RequestState, continues, fold
from bus.ids import RequestId
from bus.log import EventLog

_OPEN_REQUESTS: Final = 64


class Tally:
    """Counts each request's events along the way, so that those which the fold ignores are told from those that count.

    Only open requests are remembered, and of these the latest met; one that is met again, or first met in the middle,
    is read from the log once. Where its beginning was deleted, the rest does not count, as in every other view.
    """

    __slots__ = ("_log", "_open")

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._open: dict[str, int] = {}
        """How many events of each have counted: all that the next one is asked about."""

    async def counts(self, recorded: Recorded) -> bool:
        """Whether the event, which stands behind all that were asked about before, counts for its request.

        Every event of a payer counts; one of a call alone is nobody's to see.
        """
        counts = self.known(recorded)
        if counts is not None:
            return counts
        state = await folded(self._log, RequestId(recorded.event.subject), before=recorded.position)
        if state is not None and state.status.terminal:
            return False
        return self._count(0 if state is None else state.sequence, recorded.event)

    def known(self, recorded: Recorded) -> bool | None:
        """The same without a wait; None where only the log can tell, and `counts` is to be asked."""
        event = recorded.event
        if event.sequence is None:
            return event.topic is Topic.PAYER
        sequence = self._open.pop(event.subject, None)
        if sequence is None:
            first = self._log.beginning(RequestId(event.subject))
            if first is None or first.position < recorded.position:
                return None
            sequence = 0
        return self._count(sequence, event)

    def _count(self, sequence: int, event: Event) -> bool:
        """Of a request of which so many events have counted, none of them terminal."""
        counts = continues(sequence, event)
        if counts:
            sequence += 1
        if sequence > 0 and not (counts and event.terminal):
            self._open[event.subject] = sequence
            if len(self._open) > _OPEN_REQUESTS:
                del self._open[next(iter(self._open))]
        return counts


async def folded(log: EventLog, request_id: RequestId, *, before: int | None = None) -> RequestState | None:
    """The request as the log tells it, up to but not including position `before` if one is given."""
    state: RequestState | None = None
    for recorded in await log.read_request(request_id):
        if before is not None and recorded.position >= before:
            break
        state = fold(state, recorded)
    return state
