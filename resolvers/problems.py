"""What is wrong with an input, told so that a form can show it beside the field."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

Path = tuple[str, ...]
"""Where in the arguments, in the names of the GraphQL schema, beginning at the argument."""


class ProblemCode(StrEnum):
    """The kind of mistake."""

    REQUIRED = "REQUIRED"
    LENGTH = "LENGTH"
    CHARACTERS = "CHARACTERS"
    RANGE = "RANGE"
    FORMAT = "FORMAT"
    CHECK_DIGIT = "CHECK_DIGIT"
    CONFLICT = "CONFLICT"
    PAYER_UNKNOWN = "PAYER_UNKNOWN"
    CURSOR_UNKNOWN = "CURSOR_UNKNOWN"


class InputProblem(Struct, frozen=True, kw_only=True):
    """One mistake. The message says what is allowed and never repeats what was given, which may be health data."""

    path: Path
    code: ProblemCode
    message: str
