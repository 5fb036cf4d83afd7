"""History, then live, joined without a gap or a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct

from bus.clock import Clock
from bus.events import Recorded, Topic
from bus.fanout import Channel, LiveTail
from bus.log import Span


class SpanOf(Protocol):
    """As `EventLog.member_span`, for one order."""

    def __call__(self, *, reaching: int = 0) -> Awaitable[Span]: ...


class Track(Struct, frozen=True, kw_only=True):
    """One topic's part of a stream: where its events come from, history and live."""

    topic: Topic
    channel: Channel
    """Of the fan-out; may carry more than `read` gives."""
    read: Callable[[int], Awaitable[Sequence[Recorded]]]
    """The next events of the log behind a position, in log order; none only where the log has no more.

    May raise CursorExpired.
    """
    span: SpanOf
    """Of the order that these events stand in."""


class Follower:
    """Gives the events of some tracks behind given positions: each once, every topic's in log order.

    The tail was entered before the log is read, and what it holds counts only behind what was read. Where it lagged,
    and whenever the stream was idle, the log is read again: so a loss anywhere in the fan-out heals by itself.
    """

    __slots__ = ("_checking", "_idleness", "_positions", "_tail", "_tracks", "_unread")

    def __init__(
        self, tail: LiveTail, tracks: Sequence[Track], positions: Mapping[Topic, int], idleness: Idleness
    ) -> None:
        self._tail = tail
        self._tracks = tuple(tracks)
        self._unread = list(tracks)
        self._positions = dict(positions)
        self._idleness = idleness
        self._checking = False

    @property
    def positions(self) -> Mapping[Topic, int]:
        """Everything at or before these was given, or is not of this stream."""
        return self._positions.copy()

    async def take(self) -> Sequence[Recorded]:
        """The next events, as soon as there are any; none where the stream is idle and the log has no more either.

        Raises CursorExpired where events were deleted before they could be read.
        """
        while True:
            while self._unread:
                if events := await self._read(self._unread[0]):
                    self._checking = False
                    return events
            if self._checking:
                self._checking = False
                return ()
            await self._tail.wait()
            held = self._tail.drain()
            if held is None:
                self._unread = list(self._tracks)
            elif events := [recorded for recorded in held if self._advance(recorded)]:
                return events
            elif self._idleness.over:
                self._unread = list(self._tracks)
                self._checking = True

    async def _read(self, track: Track) -> Sequence[Recorded]:
        end = (await track.span()).end
        if end <= self._positions[track.topic]:  # as of most streams that are quiet
            self._unread.remove(track)
            return ()
        events = await track.read(self._positions[track.topic])
        if events:
            self._positions[track.topic] = events[-1].position
        else:
            self._positions[track.topic] = max(self._positions[track.topic], end)
            self._unread.remove(track)
        return events

    def _advance(self, recorded: Recorded) -> bool:
        """Whether the event is behind all that was given; if so it counts as given."""
        topic = recorded.event.topic
        new = recorded.position > self._positions[topic]
        if new:
            self._positions[topic] = recorded.position
        return new


class Idleness:
    """Wakes a tail when its owner had nothing to give for a while; a context manager."""

    __slots__ = ("_clock", "_seconds", "_since", "_tail", "_timer")

    def __init__(self, clock: Clock, tail: LiveTail, seconds: float) -> None:
        self._clock = clock
        self._tail = tail
        self._seconds = seconds
        self._since = clock.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def over(self) -> bool:
        """Whether it has lasted that long."""
        return self._remaining() <= 0

    def end(self) -> None:
        """Something was given: it begins anew."""
        self._since = self._clock.monotonic()

    def __enter__(self) -> Self:
        self._look()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        # A timer, not a task: there is one of these for every stream, and a task takes ten times the memory.
        seconds = self._remaining()
        if seconds <= 0:
            self._tail.wake()
            seconds = self._seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _remaining(self) -> float:
        return self._since + self._seconds - self._clock.monotonic()
