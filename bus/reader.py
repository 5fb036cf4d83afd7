"""The supervised reader: brings a topic's events from the log to everything in this process that wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from bus.clock import Clock
from bus.events import Recorded, Topic
from bus.log import OrderedLog
from bus.metrics import Metrics

_BATCH_EVENTS: Final = 256
_FAR_BEHIND_EVENTS: Final = 16_384
_BATCH_EVENTS_FAR_BEHIND: Final = 1_024
"""A rebuild's: nobody hears of events that old, so a batch may hold the loop longer, and costs its sinks less."""
_FIRST_BACKOFF_SECONDS: Final = 0.1
_LONGEST_BACKOFF_SECONDS: Final = 5.0

_logger = structlog.get_logger(__name__)


class Sink(Protocol):
    """Takes in the events of a topic, in log order."""

    async def take(self, batch: Sequence[Recorded]) -> None:
        """Take the next events. After a failure, of this sink or another, the same events come again."""
        ...


class Reader:
    """Reads one topic for ever and hands every event to each sink, one sink after the other.

    Whatever fails, the log or a sink, is logged and counted, and tried again from the same position after a growing
    pause: no event is passed over. An async context manager: it reads while it is entered.
    """

    def __init__(
        self, log: OrderedLog, topic: Topic, sinks: Sequence[Sink], metrics: Metrics, clock: Clock, *, start_after: int
    ) -> None:
        """Sinks are served in this order: what others may look up on hearing of an event comes before the fan-out.

        `start_after` is the position up to which the sinks know the topic already.
        """
        self._log = log
        self._topic = topic
        self._sinks = tuple(sinks)
        self._lag = metrics.reader_lag.labels(topic=topic.value)
        self._restarts = metrics.reader_restarts.labels(topic=topic.value)
        self._clock = clock
        self._position = start_after
        self._behind_since: float | None = None
        self._task: asyncio.Task[None]

    @property
    def topic(self) -> Topic:
        """What it reads."""
        return self._topic

    @property
    def position(self) -> int:
        """Everything at or before it was taken by every sink."""
        return self._position

    @property
    def stalled_seconds(self) -> float:
        """How long the topic has had more events without one being taken; 0 while there is nothing to take.

        An end that moved without the reader being told is seen as soon as `caught_up` is asked.
        """
        return 0.0 if self._behind_since is None else self._clock.monotonic() - self._behind_since

    async def caught_up(self) -> bool:
        """Whether every event of the topic was taken. Raises LogUnavailable."""
        return self._measure(await self._log.end(self._topic)) == 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"reader {self._topic}")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        backoff_seconds = _FIRST_BACKOFF_SECONDS
        while True:
            try:
                await self._step()
                backoff_seconds = _FIRST_BACKOFF_SECONDS
            except Exception as error:  # whatever it is, it is tried again
                self._restarts.inc()
                # The error's own words are left out: they may repeat what was in an event.
                _logger.error(
                    "reader failed",
                    topic=self._topic.value,
                    position=self._position,
                    error=type(error).__name__,
                    retry_seconds=backoff_seconds,
                )
                await self._clock.sleep(backoff_seconds)
                backoff_seconds = min(2 * backoff_seconds, _LONGEST_BACKOFF_SECONDS)

    async def _step(self) -> None:
        """Hand on one batch, or wait until there is one."""
        end = await self._log.end(self._topic)
        far_behind = self._measure(end) > _FAR_BEHIND_EVENTS
        limit = _BATCH_EVENTS_FAR_BEHIND if far_behind else _BATCH_EVENTS
        batch = await self._log.read(self._topic, after=self._position, limit=limit)
        if batch:
            for sink in self._sinks:
                await sink.take(batch)
            self._advance(batch[-1].position, end)
        elif self._position < end:
            self._advance(end, end)  # what was in between was deleted
        else:
            await self._log.wait_beyond(self._topic, self._position)

    def _advance(self, position: int, end: int) -> None:
        self._position = position
        self._behind_since = None
        self._measure(end)

    def _measure(self, end: int) -> int:
        """Note how far the end is away, and since when."""
        lag = max(end - self._position, 0)
        self._lag.set(lag)
        if lag == 0:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._clock.monotonic()
        return lag
