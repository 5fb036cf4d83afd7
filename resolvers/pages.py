"""Pages of listings, in the way of Relay's cursor connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from msgspec import Struct

from bus.cursor import Cursors, CursorScope
from bus.errors import CursorError
from bus.events import Topic
from resolvers.errors import InputInvalid
from resolvers.problems import InputProblem, ProblemCode

LONGEST_PAGE: Final = 100

T = TypeVar("T")


class Entry(Struct, Generic[T], frozen=True, kw_only=True):
    """One thing of a page, and the cursor behind it."""

    cursor: str
    node: T


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """Some things of a listing, and whether there are more behind and before them."""

    entries: Sequence[Entry[T]]
    has_next: bool
    has_previous: bool


def check_page_size(first: int) -> None:
    """Raises InputInvalid."""
    if not 1 <= first <= LONGEST_PAGE:
        message = f"A whole number from 1 to {LONGEST_PAGE} is allowed."
        raise InputInvalid([InputProblem(path=("first",), code=ProblemCode.RANGE, message=message)])


class PageCursors:
    """Makes and opens the cursors of one listing: opaque, authentic, and of use to its reader alone."""

    def __init__(self, cursors: Cursors, scope: CursorScope, topic: Topic) -> None:
        """`topic` is what the listing's numbers are positions of."""
        self._cursors = cursors
        self._scope = scope
        self._topic = topic

    def seal(self, position: int) -> str:
        """The cursor behind the thing at that position of the listing."""
        return self._cursors.seal(self._scope, {self._topic: position})

    def open(self, after: str | None) -> int | None:
        """The position of a cursor; None without one. Raises InputInvalid."""
        if after is None:
            return None
        try:
            return self._cursors.open(self._scope, after)[self._topic]
        except (CursorError, KeyError):
            message = "This is no cursor of this listing: begin without one."
            problem = InputProblem(path=("after",), code=ProblemCode.CURSOR_UNKNOWN, message=message)
            raise InputInvalid([problem]) from None
