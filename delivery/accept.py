"""Which form of JSON an answer takes, by the `Accept` header."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from delivery.errors import NotAcceptable


class AnswerType(StrEnum):
    """The media types of an answer in one piece."""

    JSON = "application/json"
    GRAPHQL = "application/graphql-response+json"


_RANGES: Final = {
    "application/json": AnswerType.JSON,
    "application/graphql-response+json": AnswerType.GRAPHQL,
    "application/*": AnswerType.JSON,
    "*/*": AnswerType.JSON,
}
_RANGES_READ: Final = 50


def answer_type(accept: str) -> AnswerType:
    """The form the client likes best, by weight and then by order. Raises NotAcceptable.

    Streams that are listed too (`text/event-stream`, `multipart/mixed`) do not matter, even when listed first: clients
    list all they can read, and an answer in one piece goes in one piece.
    """
    if not accept.strip():
        return AnswerType.JSON
    best, best_weight = None, 0.0
    for entry in accept.split(",", _RANGES_READ)[:_RANGES_READ]:
        media_range, *parameters = entry.split(";")
        form = _RANGES.get(media_range.strip().lower())
        weight = _weight(parameters)
        if form is not None and weight > best_weight:
            best, best_weight = form, weight
    if best is None:
        raise NotAcceptable(f"Answers are {AnswerType.JSON} or {AnswerType.GRAPHQL}: accept one of them.")
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
