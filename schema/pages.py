"""What every Relay connection has."""

from __future__ import annotations

from typing import Any

import strawberry

from resolvers.pages import Page


@strawberry.type(description="Where a page stands in its listing.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more follow.")
    has_previous_page: bool = strawberry.field(description="Whether there are some before.")
    start_cursor: str | None = strawberry.field(description="Of the page's first edge.")
    end_cursor: str | None = strawberry.field(description="Of the page's last edge: the next page's `after`.")

    @classmethod
    def of(cls, page: Page[Any]) -> PageInfo:
        return cls(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=page.entries[0].cursor if page.entries else None,
            end_cursor=page.entries[-1].cursor if page.entries else None,
        )
