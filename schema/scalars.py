"""The scalars, held to the letter: what is not written exactly so is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

Cursor = NewType("Cursor", str)

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _parse_date(given: object) -> date:
    if not isinstance(given, str) or not _DATE.fullmatch(given):
        raise ValueError("no date")
    return date.fromisoformat(given)


def _parse_cursor(given: object) -> Cursor:
    if not isinstance(given, str):
        raise ValueError("no cursor")
    return Cursor(given)


def _write_date_time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


SCALARS: Final[Mapping[object, ScalarDefinition]] = {
    Cursor: strawberry.scalar(
        name="Cursor",
        description="How far a stream was read. Opaque; safe to store; valid on every instance; holds no health data.",
        serialize=str,
        parse_value=_parse_cursor,
    ),
    date: strawberry.scalar(
        name="Date",
        description='A day, like "2026-11-23" (ISO 8601).',
        serialize=date.isoformat,
        parse_value=_parse_date,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description='A moment, like "2026-11-23T12:00:00Z" (RFC 3339).',
        serialize=_write_date_time,
    ),
}

EXPECTED: Final[Mapping[str, str]] = {
    "Boolean": "true or false is expected.",
    "Cursor": "A cursor, as text, is expected.",
    "Date": "A day is expected, like 2026-11-23.",
    "DateTime": "A moment is expected, like 2026-11-23T12:00:00Z.",
    "Float": "A number is expected.",
    "ID": "An id, as text, is expected.",
    "Int": "A whole number of at most 32 bits is expected.",
    "String": "Text is expected.",
}
"""What is told where a value is no value of the scalar; never the value."""
