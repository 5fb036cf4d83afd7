"""Who handles which type of event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar, cast

from msgspec import Struct

from bus.events import TYPE_OF, Event, EventData, Topic
from bus.kafka.records import Place
from bus.schemas import topic_of

D = TypeVar("D", bound=EventData)


class Delivery(Struct, Generic[D], frozen=True):
    """One event, given to its handler."""

    event: Event
    data: D
    """The event's own, with its type."""
    attempt: int
    """Counts the deliveries of this event to this group, from 1; not the request's own attempts."""


Handler = Callable[[Delivery[Any]], Awaitable[None]]


class Called(NamedTuple):
    """Who handles a type of event, and which topic that type belongs in (its partition is any)."""

    place: Place
    handler: Handler


class Handlers:
    """One handler for each type of data that a consumer cares for; events of other types are passed over."""

    def __init__(self) -> None:
        self._called: dict[bytes, Called] = {}
        """By type, as a record's header says it."""

    def on(self, data: type[D]) -> Callable[[Callable[[Delivery[D]], Awaitable[None]]], Handler]:
        """Decorates the coroutine function that handles this type. Raises ValueError if it has one already."""
        type_ = TYPE_OF[cast("type[EventData]", data)]

        def register(handler: Callable[[Delivery[D]], Awaitable[None]]) -> Handler:
            name = type_.value.encode()
            if name in self._called:
                raise ValueError(f"{type_.value} has a handler already.")
            self._called[name] = Called(Place(topic_of(type_), 0), handler)
            return handler

        return register

    def get(self, type_: bytes) -> Called | None:
        """By type, as a record's `ce_type` header says it."""
        return self._called.get(type_)

    @property
    def topics(self) -> frozenset[Topic]:
        """The topics that the handled types are in."""
        return frozenset(called.place.topic for called in self._called.values())
