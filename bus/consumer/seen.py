"""Which events were handled here before: a window of ids."""

from __future__ import annotations

from bus.ids import EventId


class Seen:
    """The last `capacity` ids of handled events, oldest forgotten first.

    What it promises: an event that comes again within that many handled ones, in the same process, is not handled
    again. A restart forgets, and another instance never knew; a handler's effect has to bear the id of its event where
    twice would be wrong.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ids: dict[str, None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._ids

    def add(self, name: str) -> None:
        ids = self._ids
        ids[name] = None
        if len(ids) > self._capacity:
            del ids[next(iter(ids))]


def name_of(source: str, event_id: EventId) -> str:
    """What tells an event from all others: its source and id together (CloudEvents 1.0, section 3.1.1).

    One string: tuples by the hundred thousand would keep the garbage collector busy.
    """
    return f"{source}\0{event_id}"
