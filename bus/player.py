"""How a stream is played: history, then live, to one reader; or to all who read the same, once for all of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import msgspec

from bus.clock import Clock
from bus.cursor import Cursors
from bus.errors import CursorExpired
from bus.events import Topic
from bus.fanout import Fanout
from bus.following import Following, Means
from bus.log import EventLog
from bus.metrics import Metrics
from bus.relay import Relay, RelayReader, Stirred
from bus.stream import Opening, Positions, Sharing, Step, Stream
from bus.stream_items import Delivered, Items, StreamItem
from bus.tally import Tally


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
        self._cursors = cursors
        self._items = Items(cursors, metrics)
        self._means = Means(
            log=log, fanout=fanout, items=self._items, clock=clock, idle_checkpoint_seconds=idle_checkpoint_seconds
        )
        self._reader_bound = reader_bound
        self._stirred = Stirred()
        self._relays: dict[Sharing, Relay] = {}

    @property
    def items(self) -> Items:
        return self._items

    async def play(self, stream: Stream, opening: Callable[[], Awaitable[Opening]]) -> AsyncGenerator[StreamItem, None]:
        # Followed before the log is read for the first time, so that nothing falls between history and live.
        with Following(stream, self._means) as following:
            opened = await opening()
            for item in opened.items:
                yield item
            if opened.positions is None:
                return
            following.begin(opened.positions)
            while steps := await following.next():
                for item, _ in steps:
                    yield item

    async def share(
        self, stream: Stream, opening: Callable[[], Awaitable[Opening]]
    ) -> AsyncGenerator[StreamItem, None]:
        """As `_play`, with all who read the same: history for oneself up to where the others are, then with them."""
        relay = self._relay(stream)
        reader = relay.attach()
        try:
            until = await self._started(stream, relay, reader)  # before the log is read for the first time, as above
            opened = await opening()
            for item in opened.items:
                yield item
            positions: Positions = opened.positions or {}
            while True:
                read = dict(positions)
                async with aclosing(self._history(stream, read, until)) as items:
                    async for item in items:
                        yield item
                positions = read
                meeting: Positions | None = read
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
                until = reader.start()
        finally:
            relay.detach(reader)
            if relay.deserted:
                if self._relays.get(stream.sharing) is relay:
                    del self._relays[stream.sharing]
                await relay.close()

    def _relay(self, stream: Stream) -> Relay:
        relay = self._relays.get(stream.sharing)
        if relay is None or relay.error is not None:
            relay = self._relays[stream.sharing] = Relay(
                lambda stir: Following(stream, self._means, stir), bound=self._reader_bound, stirred=self._stirred
            )
        return relay

    async def _started(self, stream: Stream, relay: Relay, reader: RelayReader) -> Positions:
        """Where a new reader of the relay begins; the first has it begin."""
        if not relay.begun:
            ends = await stream.ends()
            if not relay.begun:  # others may have come meanwhile
                relay.begin(ends)
        return reader.start()

    async def _history(
        self, stream: Stream, positions: dict[Topic, int], until: Positions
    ) -> AsyncGenerator[StreamItem, None]:
        """The events behind `positions`, which move along, and not behind `until`."""
        tally = Tally(self._means.log)
        for track in stream.tracks:
            topic = track.topic
            while positions[topic] < until[topic]:
                try:
                    events = await track.read(positions[topic])
                except CursorExpired as expired:
                    positions.update(await stream.ends())
                    yield self._items.gap(stream.scope, positions, expired)
                    return
                for recorded in events:
                    if recorded.position > until[topic]:
                        break
                    positions[topic] = recorded.position
                    if stream.concerns(recorded) and await tally.counts(recorded) and stream.allows(recorded):
                        yield self._items.delivered(stream.scope, positions, recorded)
                if not events or events[-1].position > until[topic]:
                    positions[topic] = until[topic]

    def _met(self, stream: Stream, positions: Positions, step: Step) -> Step | None:
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
