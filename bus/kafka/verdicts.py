"""Whether events that Kafka has taken count: it refuses nothing, the fold does (docs/decisions/0009)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from bus.errors import LogUnavailable
from bus.events import Event, Recorded, Topic
from bus.fold import RequestState, fold
from bus.ids import RequestId
from bus.kafka.reading import KafkaReading
from bus.kafka.records import Place
from bus.kafka.tail import KafkaTail

_LATE_SECONDS: Final = 0.5
"""How long an append, of however many events, waits for the view and the reader before Kafka is asked."""

_Firsts = Mapping[RequestId, Recorded | None]
"""As `KafkaReading.known` tells them."""


class Verdicts:
    """Judges what was just written by what stands in front of it."""

    def __init__(self, reading: KafkaReading, tail: KafkaTail) -> None:
        self._reading = reading
        self._tail = tail

    @asynccontextmanager
    async def asked(
        self, events: Sequence[Event], *, ids_are_new: bool = False
    ) -> AsyncIterator[Callable[[Sequence[Recorded]], Awaitable[Sequence[bool]]]]:
        """Gives what judges the events once they are durable, one verdict each.

        The view of history is asked while they are on their way: an id that is derived from a key may be of a request
        of weeks ago. Before the first event of one that was just made nothing can stand: it is not waited for either.
        """
        if ids_are_new:
            yield _all_count
            return
        begun = {RequestId(event.subject) for event in events if event.sequence == 1}
        earlier = asyncio.create_task(self._reading.known(begun), name="kafka verdict") if begun else None

        async def judge(recorded: Sequence[Recorded]) -> Sequence[bool]:
            await self._heard_in_time(recorded, earlier)
            return await self._judged(recorded, earlier.result() if earlier is not None and earlier.done() else {})

        try:
            yield judge
        finally:
            if earlier is not None:
                earlier.cancel()

    async def _heard_in_time(self, recorded: Sequence[Recorded], earlier: asyncio.Task[_Firsts] | None) -> None:
        """Wait for what the view knows and for the reader, unless they are late: all is durable already."""
        try:
            async with asyncio.timeout(_LATE_SECONDS):
                if earlier is not None:
                    await asyncio.wait({earlier})
                for one in recorded:
                    if one.event.request_id is not None:
                        await self._tail.wait_reached(_place(one), one.position)
        except TimeoutError:
            pass  # what is not in memory is read from Kafka

    async def _judged(self, recorded: Sequence[Recorded], known: _Firsts) -> Sequence[bool]:
        verdicts: list[bool] = []
        kafka_answers = True
        for one in recorded:
            counted = self._told_by_memory(one, known)
            if counted is None and kafka_answers:
                try:
                    counted = _counts(one, await self._before(one, known))
                except LogUnavailable:
                    kafka_answers = False
            if counted is False and one.event.sequence == 1:
                self._tail.lost(one)
            # What nobody can tell of counts: it is durable; should another have been first, every reader knows.
            verdicts.append(counted is not False)
        return verdicts

    def _told_by_memory(self, recorded: Recorded, known: _Firsts) -> bool | None:
        request_id = recorded.event.request_id
        if request_id is None:
            return True
        if recorded.event.sequence == 1 and (first := known.get(request_id)) is not None:
            return first.position == recorded.position
        events = self._tail.of_request(request_id)
        if events is None:
            return None
        if recorded.event.sequence == 1 and events[0].position < recorded.position:
            return False
        return _counts(recorded, events) if self._tail.reached(_place(recorded)) >= recorded.position else None

    async def _before(self, recorded: Recorded, known: _Firsts) -> Sequence[Recorded]:
        """The request's events up to this one, as far as they tell whether it counts. Raises LogUnavailable."""
        request_id, place = RequestId(recorded.event.subject), _place(recorded)
        if recorded.event.sequence == 1:
            # Where the view knows of no beginning, one can only be among the newest. It is not asked twice.
            after = self._tail.start(place) if request_id in known else 0
            return await self._reading.of_request_since(request_id, place, after=after, through=recorded.position)
        return await self._reading.of_request(request_id, after=0, place=place, through=recorded.position)


async def _all_count(recorded: Sequence[Recorded]) -> Sequence[bool]:
    return [True] * len(recorded)


def _place(recorded: Recorded) -> Place:
    """Of an event of a request."""
    return Place(Topic.RTE, recorded.partition)


def _counts(recorded: Recorded, events: Sequence[Recorded]) -> bool:
    """What the fold says of the event behind those of its request that came before it."""
    before: RequestState | None = None
    for earlier in events:
        if earlier.position < recorded.position:
            before = fold(before, earlier)
    return fold(before, recorded) is not before
