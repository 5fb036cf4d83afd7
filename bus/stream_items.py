"""What streams give."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from bus.events import Recorded


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
