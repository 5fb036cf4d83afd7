"""What is written on an event that failed: headers beside its own. Its key and its value stay as they were.

These headers hold no health data: of an error only the names of its classes and the lines of code it came through,
never its message, which may repeat what the event said.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from traceback import walk_tb
from typing import Final

from msgspec import Struct

from bus.consumer.errors import Rejected, Undecodable
from bus.consumer.record import Headers

_OURS: Final = "covey-"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FRAMES: Final = 20
_CAUSES: Final = 5


class Origin(Struct, frozen=True):
    """Where an event was first read."""

    topic: str
    partition: int
    offset: int


class Letter(Struct, frozen=True, kw_only=True):
    """What a retry and a dead letter say beside the event."""

    group: str
    origin: Origin
    attempts: int
    """How often the group has handled it in vain."""
    cause: str
    """The names of the error's classes, the first one thrown last; or the code of a rejection."""
    trace: str
    """Lines of code, innermost last: module, line, function."""
    failed_at: datetime
    due: datetime | None = None
    """Of a retry: not to be handled before."""


class LetterUnreadable(ValueError):
    """The headers of a retry or dead letter are not what this framework writes."""


def cause_of(error: BaseException) -> str:
    """What went wrong, in words that never come from the event."""
    match error:
        case Rejected():
            return f"rejected: {error.code}"
        case Undecodable():
            return f"undecodable: {error.why}"
    names: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(names) < _CAUSES:
        names.append(f"{type(cause).__module__}.{type(cause).__qualname__}".removeprefix("builtins."))
        cause = cause.__cause__ or cause.__context__
    return " from ".join(names)


def trace_of(error: BaseException) -> str:
    """Which lines of code the error came through; the innermost twenty."""
    frames = [
        f"{frame.f_globals.get('__name__', '?')}:{line} {frame.f_code.co_name}"
        for frame, line in walk_tb(error.__traceback__)
    ]
    return "\n".join(frames[-_FRAMES:])


def write(headers: Headers, letter: Letter) -> list[tuple[str, bytes]]:
    """The event's own headers with the letter's; those of an earlier letter are replaced."""
    given: list[tuple[str, object]] = [
        ("group", letter.group),
        ("topic", letter.origin.topic),
        ("partition", letter.origin.partition),
        ("offset", letter.origin.offset),
        ("attempts", letter.attempts),
        ("cause", letter.cause),
        ("trace", letter.trace),
        ("failed-at", letter.failed_at.isoformat()),
    ]
    if letter.due is not None:
        # Rounded up, so that no consumer's clock calls it due a millisecond early.
        given.append(("due", -((_EPOCH - letter.due) // timedelta(milliseconds=1))))
    return [*own(headers), *((_OURS + name, str(value).encode()) for name, value in given)]


def own(headers: Headers) -> list[tuple[str, bytes]]:
    """The event's own headers, without a letter's."""
    return [(name, value) for name, value in headers if not name.startswith(_OURS)]


def read(headers: Headers) -> Letter:
    """The letter in a record's headers. Raises LetterUnreadable."""
    given = {name.removeprefix(_OURS): value.decode(errors="replace") for name, value in headers}
    try:
        due = given.get("due")
        return Letter(
            group=given["group"],
            origin=Origin(given["topic"], int(given["partition"]), int(given["offset"])),
            attempts=int(given["attempts"]),
            cause=given["cause"],
            trace=given["trace"],
            failed_at=datetime.fromisoformat(given["failed-at"]),
            due=None if due is None else _EPOCH + timedelta(milliseconds=int(due)),
        )
    except (KeyError, ValueError, OverflowError):
        raise LetterUnreadable("No retry and no dead letter: the covey-* headers are not whole.") from None


SETTLES: Final = "covey-settles"
"""Header of a record in a topic of dead letters that marks another one of its partition, by offset, as sent back."""


def settlement(offset: int) -> list[tuple[str, bytes]]:
    """The headers of the mark that a dead letter was sent back."""
    return [(SETTLES, str(offset).encode())]


def settled_by(headers: Headers) -> int | None:
    """Which dead letter this record marks as sent back; None if it is none of these marks."""
    found: Sequence[bytes] = [value for name, value in islice(headers, 1) if name == SETTLES]
    return int(found[0]) if found else None
