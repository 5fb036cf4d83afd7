"""History, then live, joined without a gap or a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

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
        self,
        tail: LiveTail,
        tracks: Sequence[Track],
        positions: Mapping[Topic, int],
        idleness: Idleness,
        *,
        present: bool = False,
    ) -> None:
        """`present` says that the positions are where the log ended after the tail was entered: it need not be read."""
        self._tail = tail
        self._tracks = tuple(tracks)
        self._unread = [] if present else list(tracks)
        self._positions = dict(positions)
        self._idleness = idleness
        self._checking = False

    @property
    def positions(self) -> dict[Topic, int]:
        """Everything at or before these was given, or is not of this stream. A copy."""
        return self._positions.copy()

    @property
    def behind(self) -> bool:
        """Whether the log is to be read for what comes next."""
        return bool(self._unread)

    def held(self) -> Sequence[Recorded]:
        """The next events, as the tail holds them; none where it holds none, or the follower is behind from now on."""
        held = self._tail.drain()
        if held is None:
            self._unread = list(self._tracks)
            return ()
        events = [recorded for recorded in held if self._advance(recorded)]
        if not events and self._idleness.over:
            self._unread = list(self._tracks)
            self._checking = True
        return events

    async def read(self) -> Sequence[Recorded] | None:
        """The next events, as the log has them; none where it has no more. None where it was read because the stream
        was idle, and it was so rightly.

        Raises CursorExpired where events were deleted before they could be read.
        """
        while self._unread:
            if events := await self._read(self._unread[0]):
                self._checking = False
                return events
        checked, self._checking = self._checking, False
        return None if checked else ()

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
    """Wakes a tail when its owner had nothing to give for a while, from its beginning until it is stopped."""

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

    def begin(self) -> None:
        self.end()
        self._look()

    def stop(self) -> None:
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
