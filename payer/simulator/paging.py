"""Pages of a list, as the clearinghouse's list endpoints give them: `pageSize`, `pageToken`, `nextPageToken`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request

_T = TypeVar("_T")
_MOST_DIGITS: Final = 9


class PageAsked(Struct, frozen=True):
    """Which page is asked for."""

    size: int
    offset: int

    @classmethod
    def of(cls, request: Request, sizes: range, usual: int) -> PageAsked:
        """Read from the query. Raises HTTPException (400)."""
        size = _number(request, "pageSize", usual)
        if size not in sizes:
            raise HTTPException(400, f"pageSize has to be from {sizes[0]} to {sizes[-1]}.")
        return cls(size, _number(request, "pageToken", 0))

    def cut(self, found: Sequence[_T]) -> Sequence[_T]:
        """The elements of the page."""
        return found[self.offset : self.offset + self.size]

    def answer(self, shown: Sequence[object], total: int) -> dict[str, object]:
        """The page's body; with a token as long as `total` is not reached."""
        following = self.offset + len(shown)
        content: dict[str, object] = {"items": shown}
        if following < total:
            content["nextPageToken"] = f"{following}"
        return content


def _number(request: Request, name: str, usual: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return usual
    if not (given.isascii() and given.isdecimal()) or len(given) > _MOST_DIGITS:
        raise HTTPException(400, f"{name} is not one of ours.")
    return int(given)
