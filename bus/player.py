"""How a stream is played: history, then live, to one reader; or to all who read the same, once for all of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final

import msgspec
from msgspec import Struct

from bus.clock import Clock
from bus.cursor import Cursors, CursorScope
from bus.errors import CursorError, CursorExpired, CursorUnknown, StreamReset
from bus.events import Recorded, Topic
from bus.fanout import Fanout, LiveTail
from bus.follower import Follower, Idleness, Track
from bus.ids import PayerId
from bus.log import EventLog
from bus.metrics import Metrics
from bus.relay import Relay, Step
from bus.stream_items import Allows, Checkpoint, Delivered, Gap, GapReason, StreamItem
from bus.tally import Tally

_REASONS: Final[dict[type[CursorError], GapReason]] = {
    CursorExpired: GapReason.EXPIRED,
    CursorUnknown: GapReason.UNKNOWN_CURSOR,
    StreamReset: GapReason.STREAM_RESET,
}


Sharing = tuple[CursorScope, frozenset[PayerId] | None, Allows]
"""Who read the same, and may see the same of it, read it together."""


class Stream(Struct, frozen=True, kw_only=True):
    """What a stream is made of."""

    scope: CursorScope
    tracks: tuple[Track, ...]
    allows: Allows
    concerns: Callable[[Recorded], bool] = lambda _: True
    """Of the events of its tracks, which are the stream's."""
    of_one_request: bool = False
    """It ends with its request, and needs no checkpoints."""
    payer_ids: frozenset[PayerId] | None = None
    """What `concerns` asks about, for streams of one scope that differ by it."""

    @property
    def topics(self) -> frozenset[Topic]:
        return frozenset(track.topic for track in self.tracks)

    @property
    def sharing(self) -> Sharing:
        return self.scope, self.payer_ids, self.allows


class Opening(Struct, frozen=True, kw_only=True):
    """How a stream begins."""

    items: tuple[StreamItem, ...]
    positions: Mapping[Topic, int] | None
    """From where it goes on; None where it has ended."""


class Player:
    """Plays streams: to one reader, or to all who read the same."""

    def __init__(
        self,
        log: EventLog,
        fanout: Fanout,
        cursors: Cursors,
        clock: Clock,
        metrics: Metrics,
        *,
        idle_checkpoint_seconds: float,
        reader_bound: int,
    ) -> None:
        """`reader_bound` is how many items wait for a reader of a shared stream before it reads the log instead."""
        self._log = log
        self._fanout = fanout
        self._cursors = cursors
        self._clock = clock
        self._metrics = metrics
        self._idle_checkpoint_seconds = idle_checkpoint_seconds
        self._reader_bound = reader_bound
        self._relays: dict[Sharing, Relay[StreamItem]] = {}

    async def play(self, stream: Stream, opening: Callable[[], Awaitable[Opening]]) -> AsyncGenerator[StreamItem, None]:
        # The tail before the log is read for the first time, so that nothing falls between history and live.
        with self._fanout.tail(*(track.channel for track in stream.tracks)) as tail:
            opened = await opening()
            for item in opened.items:
                yield item
            if opened.positions is None:
                return
            async with aclosing(self._follow(stream, tail, opened.positions)) as batches:
                async for steps in batches:
                    for item, _ in steps:
                        yield item

    async def share(
        self, stream: Stream, opening: Callable[[], Awaitable[Opening]]
    ) -> AsyncGenerator[StreamItem, None]:
        """As `_play`, with all who read the same: history for oneself up to where the others are, then with them."""
        relay = self._relay(stream)
        reader = relay.attach()
        try:
            until = await reader.start()  # before the log is read for the first time, as above
            opened = await opening()
            for item in opened.items:
                yield item
            positions: Mapping[Topic, int] = opened.positions or {}
            while True:
                read = dict(positions)
                async with aclosing(self._history(stream, read, until)) as items:
                    async for item in items:
                        yield item
                positions = read
                meeting: Mapping[Topic, int] | None = read
                while (steps := await reader.take()) is not None:
                    for step in steps:
                        item, reached = step
                        if meeting is not None:
                            met = self._met(stream, meeting, step)
                            if met is None:
                                continue
                            item, reached = met
                            meeting = None if reached == step[1] else reached
                        positions = reached
                        yield item
                until = await reader.start()
        finally:
            relay.detach(reader)
            if relay.deserted:
                if self._relays.get(stream.sharing) is relay:
                    del self._relays[stream.sharing]
                await relay.close()

    def _relay(self, stream: Stream) -> Relay[StreamItem]:
        relay = self._relays.get(stream.sharing)
        if relay is None or relay.error is not None:
            relay = self._relays[stream.sharing] = Relay(
                lambda relay: self._keep_relaying(stream, relay), bound=self._reader_bound, name="stream relay"
            )
        return relay

    async def _keep_relaying(self, stream: Stream, relay: Relay[StreamItem]) -> None:
        with self._fanout.tail(*(track.channel for track in stream.tracks)) as tail:
            relay.open(await self.ends(stream))
            async with aclosing(self._follow(stream, tail, relay.reached, relay)) as batches:
                async for steps in batches:
                    await relay.push(steps)

    async def _history(
        self, stream: Stream, positions: dict[Topic, int], until: Mapping[Topic, int]
    ) -> AsyncGenerator[StreamItem, None]:
        """The events behind `positions`, which move along, and not behind `until`."""
        tally = Tally(self._log)
        for track in stream.tracks:
            topic = track.topic
            while positions[topic] < until[topic]:
                try:
                    events = await track.read(positions[topic])
                except CursorExpired as expired:
                    positions.update(await self.ends(stream))
                    yield self.gap(stream, positions, expired)
                    return
                for recorded in events:
                    if recorded.position > until[topic]:
                        break
                    positions[topic] = recorded.position
                    if stream.concerns(recorded) and await tally.counts(recorded) and stream.allows(recorded):
                        yield self.delivered(stream, positions, recorded)
                if not events or events[-1].position > until[topic]:
                    positions[topic] = until[topic]

    def _met(self, stream: Stream, positions: Mapping[Topic, int], step: Step[StreamItem]) -> Step[StreamItem] | None:
        """The relay's step for a reader that has had everything up to `positions`, in part perhaps ahead of the relay:
        None where it has had it; with a cursor of its own while it is ahead."""
        item, reached = step
        if isinstance(item, Delivered) and item.recorded.position <= positions[item.recorded.event.topic]:
            return None
        own = {topic: max(position, reached[topic]) for topic, position in positions.items()}
        if own == reached:
            return step
        cursor = self._cursors.seal(stream.scope, own)
        if isinstance(item, Delivered):
            return Delivered(recorded=item.recorded, cursor=cursor), own
        return msgspec.structs.replace(item, cursor=cursor), own

    async def _follow(
        self,
        stream: Stream,
        tail: LiveTail,
        positions: Mapping[Topic, int],
        relay: Relay[StreamItem] | None = None,
    ) -> AsyncGenerator[list[Step[StreamItem]], None]:
        """What comes, as much of it together as there is."""
        tally = Tally(self._log)
        with Idleness(self._clock, tail, self._idle_checkpoint_seconds) as idleness:
            follower = Follower(tail, stream.tracks, positions, idleness)
            while True:
                reached = dict(follower.positions)
                try:
                    events = await follower.take()
                except CursorExpired as expired:
                    ends = await self.ends(stream)
                    follower = Follower(tail, stream.tracks, ends, idleness)
                    yield [(self.gap(stream, ends, expired), ends)]
                    continue
                steps: list[Step[StreamItem]] = []
                ended = False
                for recorded in events:
                    reached[recorded.event.topic] = recorded.position
                    if not stream.concerns(recorded) or not await tally.counts(recorded):
                        continue
                    if stream.allows(recorded):
                        shared = relay is not None and relay.shared
                        steps.append((self.delivered(stream, reached, recorded, shared=shared), dict(reached)))
                    if stream.of_one_request and recorded.event.terminal:
                        ended = True
                        break
                if not events and not stream.of_one_request:
                    present = follower.positions
                    steps.append((self.checkpoint(stream, present), present))
                if steps or not events:
                    idleness.end()
                if steps:
                    yield steps
                if ended:
                    return

    async def ends(self, stream: Stream) -> dict[Topic, int]:
        return {track.topic: (await track.span()).end for track in stream.tracks}

    def delivered(
        self, stream: Stream, positions: Mapping[Topic, int], recorded: Recorded, *, shared: bool = False
    ) -> Delivered:
        cursor = self._cursors.seal(stream.scope, positions)
        return Delivered(recorded=recorded, cursor=cursor, encodings={} if shared else None)

    def checkpoint(self, stream: Stream, positions: Mapping[Topic, int]) -> Checkpoint:
        return Checkpoint(cursor=self._cursors.seal(stream.scope, positions))

    def gap(self, stream: Stream, positions: Mapping[Topic, int], error: CursorError) -> Gap:
        reason = _REASONS[type(error)]
        self._metrics.gaps.labels(reason=reason.value).inc()
        return Gap(cursor=self._cursors.seal(stream.scope, positions), reason=reason)
