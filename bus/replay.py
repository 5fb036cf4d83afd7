"""Streams: history, then live, of what concerns one request, one member, or payers; each event once, in order.

Every item carries a cursor: a position in each topic that can concern the stream. Who resumes after it goes on exactly
there, on any instance.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import partial

from bus.clock import Clock
from bus.cursor import Cursors, CursorScope
from bus.errors import CursorError, CursorExpired, CursorUnknown, StreamReset
from bus.events import Recorded, Topic
from bus.fanout import PAYER_CHANNEL, Fanout, member_channel
from bus.fold import RequestState
from bus.follower import Track
from bus.ids import MemberId, PayerId, TenantId
from bus.log import EventLog
from bus.metrics import Metrics
from bus.player import Player
from bus.stream import Opening, Stream
from bus.stream_items import Allows, Checkpoint, Delivered, Gap, GapReason, StreamItem
from bus.tally import folded

__all__ = ["Allows", "Checkpoint", "Delivered", "Gap", "GapReason", "StreamItem", "Streams"]


class Streams:
    """Everything that can be subscribed to.

    Each method gives an async generator that is to be closed by whoever reads it; closed, it holds nothing more. Any of
    them may raise LogUnavailable while it runs.
    """

    def __init__(
        self,
        log: EventLog,
        fanout: Fanout,
        cursors: Cursors,
        clock: Clock,
        metrics: Metrics,
        *,
        idle_checkpoint_seconds: float = 30.0,
        batch: int = 200,
        reader_bound: int = 256,
    ) -> None:
        """`batch` is how many events of history are read at once; `reader_bound` how many items wait for a reader of a
        shared stream before it reads the log instead."""
        self._log = log
        self._cursors = cursors
        self._metrics = metrics
        self._batch = batch
        self._payer_track = self._track_of_payers()
        self._player = Player(
            log,
            fanout,
            cursors,
            clock,
            metrics,
            idle_checkpoint_seconds=idle_checkpoint_seconds,
            reader_bound=reader_bound,
        )
        self._items = self._player.items

    def request_cursor(self, state: RequestState) -> str:
        """The cursor behind the request's latest event, for its own stream."""
        return self._cursors.seal(_request_scope(state), {Topic.RTE: state.position})

    def request(self, state: RequestState, after: str | None, allows: Allows) -> AsyncGenerator[StreamItem, None]:
        """One request's events that count, from its first or from behind a cursor, up to its terminal one.

        A cursor that cannot be continued gives a Gap first; the stream then goes on from the present, or ends where the
        request has.
        """
        stream = Stream(
            scope=_request_scope(state),
            tracks=(self._request_track(state),),
            allows=allows,
            concerns=lambda recorded: recorded.event.request_id == state.request_id,
            of_one_request=True,
        )
        return self._player.play(stream, lambda: self._open_request(stream, state, after))

    def member(
        self, tenant_id: TenantId, member_id: MemberId, after: str | None, allows: Allows
    ) -> AsyncGenerator[StreamItem, None]:
        """What concerns a member: the events of all their requests that count, and payers going down and coming back.

        A Checkpoint comes first, at `after` or at the present end; or a Gap. Another comes whenever the stream is idle.
        """
        stream = Stream(
            scope=CursorScope(tenant_id, member_id, "member"),
            tracks=(self._member_track(tenant_id, member_id), self._payer_track),
            allows=allows,
        )
        return self._player.share(stream, lambda: self._open_at(stream, after))

    def payers(
        self, tenant_id: TenantId, payer_ids: frozenset[PayerId] | None, after: str | None, allows: Allows
    ) -> AsyncGenerator[StreamItem, None]:
        """Payers going down and coming back: of these payers, or of all where `payer_ids` is None.

        Without `after` the newest event of each comes first, then a Checkpoint; else a Checkpoint at `after`, or a Gap.
        Another Checkpoint comes whenever the stream is idle.
        """
        stream = Stream(
            scope=CursorScope(tenant_id, None, "payers"),
            tracks=(self._payer_track,),
            allows=allows,
            concerns=lambda recorded: payer_ids is None or recorded.event.data.payer_id in payer_ids,
            payer_ids=payer_ids,
        )
        return self._player.share(stream, lambda: self._open_payers(stream, after))

    async def _open_request(self, stream: Stream, state: RequestState, after: str | None) -> Opening:
        present = await stream.ends()  # before the request is read: what ends it later comes live
        known = await folded(self._log, state.request_id)
        latest = known or state  # the log no longer tells it whole: it has ended
        ended = known is None or known.status.terminal
        try:
            positions = {Topic.RTE: 0} if after is None else await self._opened(stream, after)
            if ended and positions[Topic.RTE] >= latest.position:
                return Opening(items=(), positions=None)
            if known is None:
                raise CursorExpired("The log no longer holds the request from its beginning.")
            if after is not None:
                for track in stream.tracks:
                    await _reach(track, positions[track.topic])
        except CursorError as error:
            return Opening(items=(self._items.gap(stream.scope, present, error),), positions=None if ended else present)
        return Opening(items=(), positions=positions)

    async def _open_at(self, stream: Stream, after: str | None) -> Opening:
        if after is None:
            positions = await stream.ends()
            return Opening(items=(self._items.checkpoint(stream.scope, positions),), positions=positions)
        try:
            positions = await self._opened(stream, after)
            for track in stream.tracks:
                await _reach(track, positions[track.topic])
        except CursorError as error:
            positions = await stream.ends()
            return Opening(items=(self._items.gap(stream.scope, positions, error),), positions=positions)
        return Opening(items=(self._items.checkpoint(stream.scope, positions),), positions=positions)

    async def _open_payers(self, stream: Stream, after: str | None) -> Opening:
        if after is not None:
            return await self._open_at(stream, after)
        positions = await stream.ends()
        items: list[StreamItem] = []
        for recorded in await self._log.latest_per_payer():
            if stream.concerns(recorded) and stream.allows(recorded):
                items.append(self._items.delivered(stream.scope, {Topic.PAYER: recorded.position}, recorded))
            positions[Topic.PAYER] = max(positions[Topic.PAYER], recorded.position)
        return Opening(items=(*items, self._items.checkpoint(stream.scope, positions)), positions=positions)

    async def _opened(self, stream: Stream, after: str) -> dict[Topic, int]:
        """The cursor's positions. Raises CursorUnknown, StreamReset."""
        self._metrics.replays.inc()
        positions = self._cursors.open(stream.scope, after)
        if positions.keys() != stream.topics:
            raise CursorUnknown("The cursor is of a stream of other topics.")
        for track in stream.tracks:
            position = positions[track.topic]
            if position > (await track.span(reaching=position)).end:
                raise StreamReset("The cursor is ahead of the log.")
        return positions

    def _request_track(self, state: RequestState) -> Track:
        # Whole or not at all, so it needs no look at the floor: an open request is never deleted in part.
        return Track(
            topic=Topic.RTE,
            channel=member_channel(state.tenant_id, state.member_id),
            read=lambda after: self._log.read_request(state.request_id, after=after),
            span=partial(self._log.member_span, state.tenant_id, state.member_id),
        )

    def _member_track(self, tenant_id: TenantId, member_id: MemberId) -> Track:
        async def read(after: int) -> Sequence[Recorded]:
            events = await self._log.read_member(tenant_id, member_id, after=after, limit=self._batch)
            await _reach(track, after)  # after the reading: what went while it lasted is noticed
            return events

        track = Track(
            topic=Topic.RTE,
            channel=member_channel(tenant_id, member_id),
            read=read,
            span=partial(self._log.member_span, tenant_id, member_id),
        )
        return track

    def _track_of_payers(self) -> Track:
        async def read(after: int) -> Sequence[Recorded]:
            events = await self._log.read_payers(after=after, limit=self._batch)
            await _reach(track, after)
            return events

        track = Track(topic=Topic.PAYER, channel=PAYER_CHANNEL, read=read, span=self._log.payers_span)
        return track


def _request_scope(state: RequestState) -> CursorScope:
    return CursorScope(state.tenant_id, state.member_id, f"request/{state.request_id}")


async def _reach(track: Track, position: int) -> None:
    """Raises CursorExpired where the log may lack events behind the position."""
    if (await track.span()).floor > position:
        raise CursorExpired("The log no longer reaches back to the cursor.")
