"""Looking payers up."""

from __future__ import annotations

from itertools import islice

from bus.cursor import Cursors, CursorScope
from bus.events import Topic
from delivery.caller import Caller
from payer.directory import Directory, PayerRecord
from resolvers.pages import Entry, Page, PageCursors, check_page_size


class Payers:
    """The use cases behind `payer` and `payers`: what the directory knows is no secret."""

    def __init__(self, *, directory: Directory, cursors: Cursors) -> None:
        self._directory = directory
        self._cursors = cursors

    def get(self, payer_id: str) -> PayerRecord | None:
        """The payer with this id or alias."""
        return self._directory.find(payer_id)

    def page(self, caller: Caller, *, search: str | None, first: int, after: str | None) -> Page[PayerRecord]:
        """Payers by name, of those with `search` in a name, id or alias. Raises InputInvalid."""
        check_page_size(first)
        # A position is how many payers come before; the search is in the scope, so that it fits no other search.
        scope = CursorScope(caller.tenant_id, None, f"payers found by {search or ''}")
        cursors = PageCursors(self._cursors, scope, Topic.PAYER)
        start = cursors.open(after) or 0
        found = self._directory.search(search)
        entries = [
            Entry(cursor=cursors.seal(number), node=payer)
            for number, payer in islice(enumerate(found, start=1), start, start + first)
        ]
        return Page(entries=entries, has_next=len(found) > start + first, has_previous=start > 0)
