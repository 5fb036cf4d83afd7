"""Which answers of the cache a caller gets, by the mode asked for and the age of the entry."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from msgspec import Struct

from bus.events import CacheMode


class CacheDecision(StrEnum):
    """What to do with a question."""

    ANSWER = "ANSWER"
    ANSWER_AND_REFRESH = "ANSWER_AND_REFRESH"
    SUBMIT = "SUBMIT"


class Freshness(Struct, frozen=True, kw_only=True):
    """How long an entry is fresh, and how long after that it may still be given out (RFC 5861's two windows)."""

    fresh_seconds: float
    stale_seconds: float
    """Counted from the moment the entry was obtained, like `fresh_seconds`."""

    def decide(self, mode: CacheMode, age_seconds: float | None) -> CacheDecision:
        """The blueprint's table of modes; `age_seconds` is None where the cache holds nothing.

        A negative age (the clock jumped back) counts as fresh.
        """
        if age_seconds is None or age_seconds >= max(self.fresh_seconds, self.stale_seconds):
            return CacheDecision.SUBMIT
        fresh = age_seconds < self.fresh_seconds
        match mode:
            case CacheMode.REQUIRE_FRESH:
                return CacheDecision.SUBMIT
            case CacheMode.PREFER_CACHE:
                return CacheDecision.ANSWER
            case CacheMode.DEFAULT:
                return CacheDecision.ANSWER if fresh else CacheDecision.ANSWER_AND_REFRESH
            case _:
                assert_never(mode)
