"""Refusals: expected failures of a mutation, told as data."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from resolvers.problems import InputProblem

_LOG_RETRY_SECONDS: Final = 5


class RefusalReason(StrEnum):
    """Why nothing was done."""

    RATE_LIMITED = "RATE_LIMITED"
    """Too many different people were asked about for this member today."""
    QUEUE_FULL = "QUEUE_FULL"
    """Too many requests wait already."""
    LOG_UNAVAILABLE = "LOG_UNAVAILABLE"
    """Nothing can be recorded at the moment, so nothing is accepted."""
    PAYER_UNKNOWN = "PAYER_UNKNOWN"
    """No payer goes by the given id."""
    FORBIDDEN = "FORBIDDEN"
    """The caller may not ask this."""
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    """The idempotency key belongs to another submission."""
    NOT_FOUND = "NOT_FOUND"
    """There is no such request, or it is not the caller's."""
    ALREADY_FINISHED = "ALREADY_FINISHED"
    """The request has ended."""


class Refused(Struct, frozen=True, kw_only=True):
    """Nothing was done, for this reason; the same may be asked again after `retry_after_seconds`, if given."""

    reason: RefusalReason
    message: str
    retry_after_seconds: int | None = None


class Invalid(Struct, frozen=True, kw_only=True):
    """Nothing was done, since what was given is not allowed."""

    problems: tuple[InputProblem, ...]


LOG_AWAY: Final = Refused(
    reason=RefusalReason.LOG_UNAVAILABLE,
    message="Nothing can be recorded at the moment, so nothing was done. Try again shortly.",
    retry_after_seconds=_LOG_RETRY_SECONDS,
)
"""The answer to LogUnavailable."""
