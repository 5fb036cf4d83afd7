"""Writing what becomes of open requests: one owner a request, one event after another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, TypeVar

import structlog

from bus.clock import Clock
from bus.errors import LogUnavailable, StateUnavailable
from bus.events import TYPE_OF, Enqueued, Event, EventData, Recorded
from bus.fold import RequestState, fold
from bus.ids import EventId, NewId, RequestId
from bus.log import EventLog, RequestView
from bus.metrics import Metrics
from bus.tally import folded

_SOURCE: Final = "covey/scheduler"
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_VIEWS_LATE_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.02

_logger = structlog.get_logger(__name__)
_T = TypeVar("_T")

NextEvents = Callable[[RequestState], Sequence[EventData]]
"""What to write for a request, given where it stands; nothing where another writer has made it pointless."""


class OpenRequest:
    """A request that has not ended, as this process last saw it; whoever writes for it holds its lock."""

    __slots__ = ("lock", "state")

    def __init__(self, state: RequestState) -> None:
        self.state = state
        self.lock = asyncio.Lock()


class Journal:
    """The open requests of this process, and their next events.

    The log decides: where it refuses an event, another writer came first. The request is then read from the log again,
    and what is next for it, as it stands now, is written behind what came first.
    """

    def __init__(self, log: EventLog, requests: RequestView, clock: Clock, new_id: NewId, metrics: Metrics) -> None:
        self._log = log
        self._requests = requests
        self._clock = clock
        self._new_id = new_id
        self._metrics = metrics
        self._open: dict[RequestId, OpenRequest] = {}
        self._expected: dict[RequestId, asyncio.Event] = {}
        """Requests that are spoken of, and that the views do not know yet."""

    def __len__(self) -> int:
        return len(self._open)

    def take_in(self, state: RequestState) -> OpenRequest:
        """The open request of this state; the one that was taken in before, if it was."""
        request = self._open.get(state.request_id)
        if request is None:
            request = self._open[state.request_id] = OpenRequest(state)
        return request

    async def take(self, batch: Sequence[Recorded]) -> None:
        """As a sink of the log's reader: learn what other writers made of the requests that this process has open."""
        for recorded in batch:
            request_id = recorded.event.request_id
            if request_id is None:
                continue
            if (came := self._expected.get(request_id)) is not None:
                came.set()
            if (request := self._open.get(request_id)) is not None:
                request.state = fold(request.state, recorded) or request.state
                if request.state.status.terminal:
                    del self._open[request.state.request_id]

    @asynccontextmanager
    async def holding(self, request_ids: Iterable[RequestId]) -> AsyncIterator[list[OpenRequest]]:
        """Those of the requests that are still open, locked, in the given order.

        Those that this process has not met are looked up first: another may have accepted them. Locks are taken in the
        order of ids, so that no two holders wait in a circle. May raise LogUnavailable, StateUnavailable.
        """
        wanted_ids = tuple(request_ids)
        await self._meet([request_id for request_id in wanted_ids if request_id not in self._open])
        wanted = {request_id: self._open[request_id] for request_id in wanted_ids if request_id in self._open}
        async with AsyncExitStack() as stack:
            for request_id in sorted(wanted):
                await stack.enter_async_context(wanted[request_id].lock)
            yield [request for request in wanted.values() if not request.state.status.terminal]

    async def write(self, requests: Sequence[OpenRequest], next_events: NextEvents) -> list[OpenRequest]:
        """Append the next events of every request, whose locks are held.

        Returns the requests for which they were written; one that ended is forgotten. On LogUnavailable nothing is
        known to be written; where something was (Kafka), the same again does no harm: the fold counts the first.
        """
        written: list[OpenRequest] = []
        pending = [*requests]
        while pending:
            # Where each stands is noted first: the log's reader may bring it further while its events are written.
            stood_at = {request: request.state.sequence for request in pending}
            batches = {request: self._events(request.state, next_events(request.state)) for request in pending}
            events = [event for batch in batches.values() for event in batch]
            results = iter(await self._log.append(events) if events else ())
            pending = []
            for request, batch in batches.items():
                if not batch:
                    continue
                if await self._advance(request, [next(results) for _ in batch]):
                    written.append(request)
                elif request.state.sequence == stood_at[request]:
                    # Refused, and yet nobody came first: the log lost the request's beginning. Nothing can follow.
                    _logger.error("request_lost_its_beginning", request_id=request.state.request_id)
                    self._open.pop(request.state.request_id, None)
                elif not request.state.status.terminal:
                    pending.append(request)
        return written

    async def write_surely(self, request_ids: Iterable[RequestId], next_events: NextEvents) -> list[OpenRequest]:
        """As `write`, for what has happened and must not be forgotten: waits for a log that is away.

        Holds the requests' locks only while it tries, so that others are not kept from being told of the outage.
        """
        wanted = tuple(request_ids)

        async def step() -> list[OpenRequest]:
            async with self.holding(wanted) as held:
                return await self.write(held, next_events) if held else []

        return await self._surely(step)

    async def still_open(self, request_ids: Iterable[RequestId]) -> list[OpenRequest]:
        """Those of the requests that have not ended; waits for views that are away."""
        wanted = tuple(request_ids)

        async def look() -> list[OpenRequest]:
            async with self.holding(wanted) as held:
                return held

        return await self._surely(look)

    async def note(self, subject: str, data: EventData, whose: RequestState | None = None) -> None:
        """Append an event about a call or a payer, `whose` being the request the call was made for; waits for a log
        that is away."""
        event = Event(
            id=EventId(self._new_id()),
            source=_SOURCE,
            subject=subject,
            time=self._clock.now(),
            data=data,
            tenant_id=whose.tenant_id if whose else None,
            member_id=whose.member_id if whose else None,
        )
        await self._surely(lambda: self._log.append([event]))

    async def _meet(self, unmet: Sequence[RequestId]) -> None:
        """Take in those of them that are open. What is spoken of was durable before: views that know nothing of it yet
        are waited for a little, and then the log itself is read."""
        patience_seconds = _VIEWS_LATE_SECONDS
        while unmet:
            known = {state.request_id: state for state in await self._requests.states(unmet)}
            unmet = [request_id for request_id in unmet if request_id not in known]
            if unmet and patience_seconds <= 0:
                read = [await folded(self._log, request_id) for request_id in unmet]
                known |= {state.request_id: state for state in read if state is not None}
                unmet = []
            for state in known.values():
                if not state.status.terminal:
                    self.take_in(state)
            if unmet:
                patience_seconds -= _LOOK_AGAIN_SECONDS
                await self._wait_for_one_of(unmet)

    async def _wait_for_one_of(self, request_ids: Sequence[RequestId]) -> None:
        """Return when the log's reader brings one of them, but soon in any case: another reader may fill the views."""
        came = asyncio.Event()
        self._expected.update(dict.fromkeys(request_ids, came))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                    await came.wait()
        finally:
            for request_id in request_ids:
                if self._expected.get(request_id) is came:
                    del self._expected[request_id]

    def _events(self, state: RequestState, all_data: Sequence[EventData]) -> list[Event]:
        events = []
        attempt = state.attempt
        time = self._clock.now()
        for sequence, data in enumerate(all_data, start=state.sequence + 1):
            if isinstance(data, Enqueued) and data.cause is not None:
                attempt += 1
            events.append(
                Event(
                    id=EventId(self._new_id()),
                    source=_SOURCE,
                    subject=state.request_id,
                    time=time,
                    data=data,
                    tenant_id=state.tenant_id,
                    member_id=state.member_id,
                    sequence=sequence,
                    attempt=attempt,
                    traceparent=state.traceparent,
                )
            )
        return events

    async def _advance(self, request: OpenRequest, results: Sequence[Recorded | None]) -> bool:
        """Bring the request up to the log; False if another writer came first."""
        state = request.state
        own = [recorded for recorded in results if recorded is not None]
        overtaken = len(own) < len(results)
        if overtaken:
            request.state = await folded(self._log, state.request_id) or state
        else:
            for recorded in own:
                request.state = fold(request.state, recorded) or request.state
        if request.state.status.terminal:
            self._open.pop(state.request_id, None)
            if not overtaken:
                ended = TYPE_OF[type(own[-1].event.data)]
                self._metrics.outcomes.labels(ended).inc()
                _logger.info(
                    "request_ended", request_id=state.request_id, by=ended.value, attempt=request.state.attempt
                )
        return not overtaken

    async def _surely(self, step: Callable[[], Awaitable[_T]]) -> _T:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await step()
            except (LogUnavailable, StateUnavailable) as error:
                _logger.warning("log_or_state_away", reason=str(error), retry_in_seconds=pause_seconds)
            await self._clock.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
