"""What streams give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from bus.cursor import Cursors, CursorScope
from bus.errors import CursorError, CursorExpired, CursorUnknown, StreamReset
from bus.events import Recorded, Topic
from bus.metrics import Metrics


class GapReason(StrEnum):
    """Why a stream could not be continued from where its reader was."""

    EXPIRED = "EXPIRED"
    """The log no longer reaches back that far."""
    UNKNOWN_CURSOR = "UNKNOWN_CURSOR"
    """The cursor was made up, altered, or belongs to another tenant, member or stream."""
    STREAM_RESET = "STREAM_RESET"
    """The cursor is of another log, or ahead of this one."""


class Delivered(Struct, frozen=True, kw_only=True):
    """An event, and the cursor behind it."""

    recorded: Recorded
    cursor: str
    encodings: dict[object, bytes] | None = None
    """Where several read the same item: what was made of it for one of them, by what made it, for the others to use."""


class Checkpoint(Struct, frozen=True, kw_only=True):
    """Everything up to this cursor was delivered."""

    cursor: str


class Gap(Struct, frozen=True, kw_only=True):
    """Events may be missing before this cursor: reload by polling, then go on from it."""

    cursor: str
    reason: GapReason


StreamItem = Delivered | Checkpoint | Gap
Allows = Callable[[Recorded], bool]
"""Whether whoever reads the stream may see this event; asked for every event, replayed or live.

Streams are shared by those whose `allows` are equal: they must be so only where they allow the same, always.
"""
_REASONS: Final[dict[type[CursorError], GapReason]] = {
    CursorExpired: GapReason.EXPIRED,
    CursorUnknown: GapReason.UNKNOWN_CURSOR,
    StreamReset: GapReason.STREAM_RESET,
}


class Items:
    """Makes items, each with the cursor of these positions in a stream of that scope."""

    def __init__(self, cursors: Cursors, metrics: Metrics) -> None:
        self._cursors = cursors
        self._metrics = metrics

    def delivered(
        self, scope: CursorScope, positions: Mapping[Topic, int], recorded: Recorded, *, shared: bool = False
    ) -> Delivered:
        """`shared` says that several read it."""
        cursor = self._cursors.seal(scope, positions)
        return Delivered(recorded=recorded, cursor=cursor, encodings={} if shared else None)

    def checkpoint(self, scope: CursorScope, positions: Mapping[Topic, int]) -> Checkpoint:
        return Checkpoint(cursor=self._cursors.seal(scope, positions))

    def gap(self, scope: CursorScope, positions: Mapping[Topic, int], error: CursorError) -> Gap:
        """Counted as one."""
        reason = _REASONS[type(error)]
        self._metrics.gaps.labels(reason=reason.value).inc()
        return Gap(cursor=self._cursors.seal(scope, positions), reason=reason)
