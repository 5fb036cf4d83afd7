"""Brings what this instance reads into the views that all instances share, behind the backs of those who wait for it.

Every instance reads every event, and one that writes it is enough. So an instance that finds some of a batch written by
others stands by: it lets some time pass, then looks whether somebody still writes, and takes over where nobody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import structlog

from bus.clock import Clock
from bus.events import Recorded, Topic
from bus.reader import Sink
from bus.redis.views import RedisViews

_PACE_SECONDS: Final = 0.05
"""Events of so long travel together: who cannot wait for the views reads this process' memory."""
_WAITING_EVENTS: Final = 20_000
"""What more comes while Redis is slow or away is left to the rebuild."""

_logger = structlog.get_logger(__name__)


class ViewFiller:
    """A sink that never waits. An async context manager: it fills while it is entered."""

    def __init__(
        self,
        views: RedisViews,
        clock: Clock,
        *,
        before: Sequence[Sink] = (),
        patience_seconds: float,
        waiting_events: int = _WAITING_EVENTS,
    ) -> None:
        """`before` are sinks that are given every event before the views are. `patience_seconds` is how long an
        instance that stands by leaves events to others; with 0 it never stands by."""
        self._views = views
        self._clock = clock
        self._before = tuple(before)
        self._patience_seconds = patience_seconds
        self._waiting_events = waiting_events
        self._waiting: list[Recorded] = []
        self._stirred = asyncio.Event()
        self._batches = self._done = 0
        self._moved = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None
        self._standing_by = False

    @property
    def standing_by(self) -> bool:
        """Whether others write what this instance would."""
        return self._standing_by

    async def __aenter__(self) -> Self:
        self._filling = asyncio.create_task(self._run(), name="views")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """What still waits is left to other instances, and to the rebuild."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait({self._filling})

    async def take(self, batch: Sequence[Recorded]) -> None:
        """See Sink."""
        events = [recorded for recorded in batch if recorded.event.topic is Topic.RTE]
        if not events:
            return
        if len(self._waiting) + len(events) > self._waiting_events:
            self._views.leave([*self._waiting, *events])
            self._waiting = []
            return
        self._waiting += events
        self._batches += 1
        self._stirred.set()

    async def settled(self, within_seconds: float) -> bool:
        """Whether everything taken until now is in the views, or left to the rebuild, at once or so soon."""
        batches = self._batches
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                while self._done < batches:
                    await self._moved.wait()
        return self._done >= batches

    async def _run(self) -> None:
        while True:
            await self._stirred.wait()
            await self._clock.sleep(self._patience_seconds if self._standing_by else _PACE_SECONDS)
            self._stirred.clear()
            batch, self._waiting, batches = self._waiting, [], self._batches
            try:
                await self._fill(batch)
            except Exception as error:  # a defect of ours: events may not be lost for it, nor others wait
                _logger.error("views_not_filled", error=type(error).__name__)
                self._views.leave(batch)
            self._done = batches
            self._moved.set()
            self._moved = asyncio.Event()

    async def _fill(self, batch: Sequence[Recorded]) -> None:
        if self._standing_by:
            batch = await self._views.unwritten(batch)
            if not batch:
                return
            self._standing_by = False
        for sink in self._before:
            await sink.take(batch)
        if await self._views.take(batch):
            self._standing_by = self._patience_seconds > 0
