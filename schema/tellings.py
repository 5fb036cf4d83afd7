"""How the domain's items are told in GraphQL's types: where each field of what streams carry comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias, assert_never, cast

import bus.replay
import resolvers.progress
from bus.events import DATA_OF, TYPE_OF, Answered, Completed, Downtime, Enqueued, EventData, Failed, TimedOut
from bus.fold import RequestStatus
from bus.replay import Delivered, StreamItem
from resolvers.answers import Answers, CoverageSource
from schema.coverage import Coverage
from schema.requests import Failure
from schema.updates import AnyUpdate, Checkpoint, CoverageRequestEvent, Gap, PayerEvent, QueueProgress

Item: TypeAlias = StreamItem | resolvers.progress.QueueProgress
"""What there is to tell."""


class Always(NamedTuple):
    """A field that is the same for all items of a kind."""

    value: object


class At(NamedTuple):
    """A field that stands in the item as it is told."""

    path: str
    """Attributes, with dots between them."""
    absent: object = None
    """What is told where the item has None there."""


class Made(NamedTuple):
    """A field that is made of the item."""

    make: Callable[[Any, Answers], object]


Source = Always | At | Made
"""Where a field comes from."""


class Telling(NamedTuple):
    """How items of one kind are told: as what, and where each of its fields comes from, by their names in Python."""

    type: type[AnyUpdate]
    fields: Mapping[str, Source]


_CURSOR_AT: Final[Mapping[str, Source]] = {"cursor": At("cursor")}


def _payer_event() -> Telling:
    event, downtime = "recorded.event", "recorded.event.data"
    fields = {
        "id": At(f"{event}.id"),
        "time": At(f"{event}.time"),
        "payer_id": At(f"{downtime}.payer_id"),
        "available": At(f"{downtime}.available"),
        "since": At(f"{downtime}.since"),
    }
    return Telling(PayerEvent, {**_CURSOR_AT, **fields})


def _request_event(of: type[EventData]) -> Telling:
    event, data, nothing = "recorded.event", "recorded.event.data", Always(None)
    fields: dict[str, Source] = {
        "id": At(f"{event}.id"),
        "type": Always(RequestStatus[TYPE_OF[of].name]),
        "time": At(f"{event}.time"),
        "sequence": At(f"{event}.sequence", absent=0),
        "attempt": At(f"{event}.attempt", absent=0),
        "request_id": At(f"{event}.subject"),
        "member_id": At(f"{event}.member_id", absent=""),
        "payer_id": At(f"{data}.payer_id"),
        "queue_position": At(f"{data}.queue_position") if of is Enqueued else nothing,
        "estimated_wait_seconds": At(f"{data}.estimated_wait_seconds") if of is Enqueued else nothing,
        "coverage": Made(_coverage) if of is Completed else nothing,
        "failure": Made(_failure) if of in (Failed, TimedOut) else nothing,
    }
    return Telling(CoverageRequestEvent, {**_CURSOR_AT, **fields})


def _coverage(item: Delivered, answers: Answers) -> Coverage:
    data = cast("Completed", item.recorded.event.data)
    return Coverage.of(answers.coverage(data.coverage, CoverageSource.PAYER))


def _failure(item: Delivered, _: Answers) -> Failure:
    data = cast("Failed | TimedOut", item.recorded.event.data)
    return Failure.of(data.failure)


_PROGRESS: Final = {
    "request_id": At("request_id"),
    "queue_position": At("place.queue_position"),
    "estimated_wait_seconds": At("place.estimated_wait_seconds"),
}
TELLINGS: Final[Mapping[type, Telling]] = {
    **{of: _request_event(of) for of in DATA_OF.values() if of not in (Downtime, Answered)},
    Downtime: _payer_event(),
    resolvers.progress.QueueProgress: Telling(QueueProgress, {**_CURSOR_AT, **_PROGRESS}),
    bus.replay.Checkpoint: Telling(Checkpoint, _CURSOR_AT),
    bus.replay.Gap: Telling(Gap, {**_CURSOR_AT, "reason": At("reason")}),
}
"""By the kind of item; an `rte.answered` is nobody's to see."""


def kind_of(item: Item) -> type:
    """What kind of item it is: for an event, of what its data is."""
    return type(item.recorded.event.data) if isinstance(item, Delivered) else type(item)


def update_of(item: Item, answers: Answers) -> AnyUpdate:
    """The item in GraphQL's types."""
    telling = TELLINGS[kind_of(item)]
    return telling.type(**{name: _value(source, item, answers) for name, source in telling.fields.items()})


def _value(source: Source, item: Item, answers: Answers) -> Any:
    match source:
        case Always(value):
            return value
        case At(path, absent):
            value = attrgetter(path)(item)
            return absent if value is None else value
        case Made(make):
            return make(item, answers)
        case _:
            assert_never(source)
