"""What a stream is made of, and how it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct

from bus.cursor import CursorScope
from bus.events import Recorded, Topic
from bus.follower import Track
from bus.ids import PayerId
from bus.stream_items import Allows, StreamItem

Positions: TypeAlias = Mapping[Topic, int]
Step: TypeAlias = tuple[StreamItem, Positions]
"""An item, and how far its stream was read with it."""
Sharing: TypeAlias = tuple[CursorScope, frozenset[PayerId] | None, Allows]
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

    async def ends(self) -> dict[Topic, int]:
        """Where its topics end now."""
        return {track.topic: (await track.span()).end for track in self.tracks}


class Opening(Struct, frozen=True, kw_only=True):
    """How a stream begins."""

    items: tuple[StreamItem, ...]
    positions: Positions | None
    """From where it goes on; None where it has ended."""
