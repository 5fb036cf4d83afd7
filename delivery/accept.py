"""Which form an answer takes, by the `Accept` header."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from delivery.errors import NotAcceptable


class AnswerType(StrEnum):
    """The media types of an answer in one piece."""

    JSON = "application/json"
    GRAPHQL = "application/graphql-response+json"


class StreamType(StrEnum):
    """The media types of a subscription's answers."""

    EVENTS = "text/event-stream"
    MULTIPART = "multipart/mixed"


class Accepted(Struct, frozen=True, kw_only=True):
    """What a client can read; never nothing."""

    answer: AnswerType | None
    """In one piece: the form it likes best, by weight and then by order."""
    streams: frozenset[StreamType]

    @property
    def stream(self) -> StreamType | None:
        """For a subscription: events before multipart, which cannot be resumed by a header."""
        return next((form for form in StreamType if form in self.streams), None)

    @property
    def events(self) -> bool:
        return StreamType.EVENTS in self.streams


_ANSWERS: Final = {
    "application/json": AnswerType.JSON,
    "application/graphql-response+json": AnswerType.GRAPHQL,
    "application/*": AnswerType.JSON,
    "*/*": AnswerType.JSON,
}
_STREAMS: Final = {form.value: form for form in StreamType}
_RANGES_READ: Final = 50
UNREADABLE: Final = (
    f"Answers are {AnswerType.JSON} or {AnswerType.GRAPHQL}, those to subscriptions also {StreamType.EVENTS} or "
    f"{StreamType.MULTIPART}: accept one of them."
)


def accepted(accept: str) -> Accepted:
    """Read the header; an empty one accepts JSON. Raises NotAcceptable.

    Clients list all they can read, in any order: streams that are listed do not keep an answer in one piece from being
    sent in one piece, and wildcards mean no streams.
    """
    if not accept.strip():
        return Accepted(answer=AnswerType.JSON, streams=frozenset())
    best, best_weight, streams = None, 0.0, set()
    for entry in accept.split(",", _RANGES_READ)[:_RANGES_READ]:
        media_range, *parameters = entry.split(";")
        name = media_range.strip().lower()
        weight = _weight(parameters)
        form = _ANSWERS.get(name)
        if form is not None and weight > best_weight:
            best, best_weight = form, weight
        if name in _STREAMS and weight > 0:
            streams.add(_STREAMS[name])
    if best is None and not streams:
        raise NotAcceptable(UNREADABLE)
    return Accepted(answer=best, streams=frozenset(streams))


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
