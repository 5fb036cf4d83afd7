"""Telling who waits how the queue moves, between the events of a request's stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from msgspec import Struct

from bus.clock import Clock
from bus.events import Enqueued
from bus.ids import RequestId
from bus.replay import Delivered, StreamItem
from scheduler.admission import QueuePlace
from scheduler.dispatcher import Dispatcher

_LOOK_SECONDS: Final = 2.0
"""How often the place is looked up; items come no more often."""


class QueueProgress(Struct, frozen=True, kw_only=True):
    """A waiting request has another place now. No event: it is not in the log, and its cursor is the last event's."""

    request_id: RequestId
    place: QueuePlace
    cursor: str


async def with_progress(
    items: AsyncGenerator[StreamItem, None],
    *,
    request_id: RequestId,
    after: str | None,
    dispatcher: Dispatcher,
    clock: Clock,
) -> AsyncGenerator[StreamItem | QueueProgress, None]:
    """The items of a request's stream as they come and, every 2 s, its place in the queue where that has changed.

    Ends with the stream; closing it closes the stream.
    """
    cursor = after
    told: QueuePlace | None = None
    async with aclosing(items):
        following = _follow(items, request_id)
        look = _look_later(clock, request_id)
        try:
            while True:
                await asyncio.wait({following, look}, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    item = following.result()
                    if item is None:
                        return
                    cursor, told = item.cursor, _place_told(item) or told
                    yield item
                    following = _follow(items, request_id)
                else:
                    place = await dispatcher.place(request_id)
                    if place is not None and place != told and cursor is not None:
                        told = place
                        yield QueueProgress(request_id=request_id, place=place, cursor=cursor)
                    look = _look_later(clock, request_id)
        finally:
            following.cancel()
            look.cancel()
            await asyncio.gather(following, look, return_exceptions=True)


def _follow(items: AsyncGenerator[StreamItem, None], request_id: RequestId) -> asyncio.Task[StreamItem | None]:
    async def next_item() -> StreamItem | None:
        return await anext(items, None)

    return asyncio.create_task(next_item(), name=f"next item {request_id}")


def _look_later(clock: Clock, request_id: RequestId) -> asyncio.Task[None]:
    async def pause() -> None:
        await clock.sleep(_LOOK_SECONDS)

    return asyncio.create_task(pause(), name=f"queue progress {request_id}")


def _place_told(item: StreamItem) -> QueuePlace | None:
    """The place that an event tells."""
    if not isinstance(item, Delivered) or not isinstance(item.recorded.event.data, Enqueued):
        return None
    data = item.recorded.event.data
    if data.queue_position is None:
        return None
    return QueuePlace(queue_position=data.queue_position, estimated_wait_seconds=data.estimated_wait_seconds)
