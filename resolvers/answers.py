"""What the use cases answer about requests and coverage."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct

from bus.clock import Clock
from bus.coverage import Coverage
from bus.fold import RequestState, RequestStatus
from bus.replay import Streams
from scheduler.dispatcher import Dispatcher


class CoverageSource(StrEnum):
    """Where an answer was taken from."""

    PAYER = "PAYER"
    """From the payer, by the request it is shown with."""
    CACHE = "CACHE"
    """From what an earlier request brought."""


class CoverageAnswer(Struct, frozen=True, kw_only=True):
    """A payer's answer, how old it is now, and where it was taken from."""

    coverage: Coverage
    age_seconds: float
    source: CoverageSource


class RequestAnswer(Struct, frozen=True, kw_only=True):
    """A request as it stands now, and the cursor behind its latest event."""

    state: RequestState
    coverage: CoverageAnswer | None
    cursor: str


class Answers:
    """Adds to what the log tells what only the present can: ages, cursors, the place in the queue."""

    def __init__(self, *, streams: Streams, dispatcher: Dispatcher, clock: Clock) -> None:
        self._streams = streams
        self._dispatcher = dispatcher
        self._clock = clock

    def coverage(self, coverage: Coverage, source: CoverageSource) -> CoverageAnswer:
        """The answer with its age; a clock that jumped back makes it no younger than 0 s."""
        age_seconds = max(0.0, (self._clock.now() - coverage.obtained_at).total_seconds())
        return CoverageAnswer(coverage=coverage, age_seconds=age_seconds, source=source)

    def request(self, state: RequestState) -> RequestAnswer:
        """The request as `state` tells it."""
        covered = None if state.coverage is None else self.coverage(state.coverage, CoverageSource.PAYER)
        return RequestAnswer(state=state, coverage=covered, cursor=self._streams.request_cursor(state))

    async def present(self, state: RequestState) -> RequestAnswer:
        """The request with its place in the queue as it is now, rather than as it was when it was queued."""
        if state.status is RequestStatus.ENQUEUED:
            place = await self._dispatcher.place(state.request_id)
            if place is not None:
                state = msgspec.structs.replace(
                    state,
                    queue_position=place.queue_position,
                    estimated_wait_seconds=place.estimated_wait_seconds,
                )
        return self.request(state)
