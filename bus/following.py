"""One stream, followed from some positions on: its steps, as far as they can be told without a wait, or as the log
tells them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from bus.clock import Clock
from bus.errors import CursorExpired
from bus.events import Recorded, Topic
from bus.fanout import Fanout
from bus.follower import Follower, Idleness
from bus.log import EventLog
from bus.stream import Positions, Step, Stream
from bus.stream_items import Items
from bus.tally import Tally

_NOWHERE: Final[dict[Topic, int]] = {}


class Means(Struct, frozen=True, kw_only=True):
    """What all streams are followed with."""

    log: EventLog
    fanout: Fanout
    items: Items
    clock: Clock
    idle_checkpoint_seconds: float


class Following:
    """A context manager: what comes while it is entered is not missed. It gives steps once it was begun."""

    __slots__ = (
        "_channels",
        "_follower",
        "_idleness",
        "_means",
        "_pending",
        "_reached",
        "_stream",
        "_tail",
        "_tally",
        "_verdict",
        "ended",
    )

    def __init__(self, stream: Stream, means: Means, stir: Callable[[], None] | None = None) -> None:
        """`stir` is called whenever there may be something at hand; without it `next` waits."""
        self._stream = stream
        self._means = means
        self._channels = tuple(track.channel for track in stream.tracks)
        self._tail = means.fanout.listen(self._channels, stir)
        self._idleness = Idleness(means.clock, self._tail, means.idle_checkpoint_seconds)
        self._tally = Tally(means.log)
        self._follower: Follower | None = None
        self._reached = _NOWHERE
        self._pending: deque[Recorded] = deque()
        """Read, and not judged yet."""
        self._verdict: bool | None = None
        """Of the first of them."""
        self.ended = False
        """With its request."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the tail."""
        self._idleness.stop()
        self._means.fanout.leave(self._channels, self._tail)

    def begin(self, positions: Positions, *, present: bool = False) -> None:
        """Go on from there; `present` as Follower's."""
        self._follower = Follower(self._tail, self._stream.tracks, positions, self._idleness, present=present)
        self._idleness.begin()

    @property
    def begun(self) -> bool:
        return self._follower is not None

    @property
    def waits(self) -> bool:
        """Whether only the log can tell what comes next."""
        return bool(self._pending) or self._followed.behind

    def at_hand(self, *, shared: bool = False) -> list[Step]:
        """The next steps, as far as no wait is needed. `shared` says that several read them."""
        if not self.waits:
            self._reached = self._followed.positions
            self._pending.extend(self._followed.held())
        return self._judged(shared)

    async def from_log(self, *, shared: bool = False) -> list[Step]:
        """The next steps where it `waits`; maybe none."""
        if self._pending:
            self._verdict = await self._tally.counts(self._pending[0])
            return self._judged(shared)
        stream, self._reached = self._stream, self._followed.positions
        try:
            events = await self._followed.read()
        except CursorExpired as expired:
            ends = await stream.ends()
            self._follower = Follower(self._tail, stream.tracks, ends, self._idleness)
            return [(self._means.items.gap(stream.scope, ends, expired), ends)]
        if events is None:
            self._idleness.end()
            present = self._followed.positions
            return [] if stream.of_one_request else [(self._means.items.checkpoint(stream.scope, present), present)]
        self._pending.extend(events)
        return self._judged(shared)

    async def next(self) -> list[Step]:
        """The next steps, as soon as there are any; none where it has ended."""
        while not self.ended:
            if steps := await self.from_log() if self.waits else self.at_hand():
                return steps
            if not self.waits and not self.ended:
                await self._tail.wait()
        return []

    @property
    def _followed(self) -> Follower:
        assert self._follower is not None, "it was begun"  # noqa: S101 (by whoever asks)
        return self._follower

    def _judged(self, shared: bool) -> list[Step]:
        """Of what is pending, up to the first of which only the log can tell whether it counts."""
        steps: list[Step] = []
        stream, reached, pending = self._stream, self._reached, self._pending
        while pending:
            recorded = pending[0]
            counts, self._verdict = self._verdict, None
            if counts is None:
                counts = stream.concerns(recorded) and self._tally.known(recorded)
            if counts is None:
                break
            pending.popleft()
            reached[recorded.event.topic] = recorded.position
            if not counts:
                continue
            if stream.allows(recorded):
                item = self._means.items.delivered(stream.scope, reached, recorded, shared=shared)
                steps.append((item, reached.copy()))
            if stream.of_one_request and recorded.event.terminal:
                self.ended = True
                pending.clear()
        if steps:
            self._idleness.end()
        return steps
