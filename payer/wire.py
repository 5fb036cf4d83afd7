"""Reading JSON that nobody vouches for: every part may be missing, of another type, or new.

Nothing here raises; what cannot be understood is None or empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

_DAY: Final = r"(\d{4})-?(\d{2})-?(\d{2})"
_DAYS: Final = re.compile(rf"{_DAY}(?:[-/]{_DAY})?", re.ASCII)
_DECIMAL: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?|-?\.\d{1,18}", re.ASCII)
_LONGEST_INT_BITS: Final = 128  # Python refuses to write numbers of some thousand digits

Days = tuple[date | None, date | None]
"""The first and last day of a span, either of which may be unknown."""

UNKNOWN_DAYS: Final[Days] = (None, None)


def part(value: object, *keys: str) -> object:
    """What the nested objects hold under these keys."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def items(value: object) -> Sequence[object]:
    """The elements of a list; none for anything else."""
    return value if isinstance(value, list) else ()


def objects(value: object) -> Sequence[object]:
    """The objects in a list."""
    return [item for item in items(value) if isinstance(item, dict)]


def text(value: object) -> str | None:
    """A text that says something; numbers become text, for payers that leave out the quotes."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, int) and value.bit_length() > _LONGEST_INT_BITS:
        return None
    return str(value).strip() or None


def texts(value: object) -> tuple[str, ...]:
    """The texts of a list."""
    return tuple(found for item in items(value) if (found := text(item)) is not None)


def decimal(value: object) -> str | None:
    """A decimal number as the payer wrote it."""
    written = text(value)
    return written if written is not None and _DECIMAL.fullmatch(written) else None


def days(value: object) -> Days:
    """A span of days: `YYYYMMDD`, ISO, two of either joined by a dash or slash, or an object with `start` and `end`.

    One date alone is the first day.
    """
    if isinstance(value, dict):
        return days(value.get("start"))[0], days(value.get("end"))[0]
    match = _DAYS.fullmatch(text(value) or "")
    if match is None:
        return UNKNOWN_DAYS
    return _day(match.groups()[:3]), _day(match.groups()[3:])


def _day(parts: Sequence[str | None]) -> date | None:
    try:
        return date(*(int(number) for number in parts if number is not None))
    except (ValueError, TypeError):
        return None
