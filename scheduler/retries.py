"""When to call again: exponential backoff with full jitter, by what a retry can mend."""

from __future__ import annotations

from random import Random
from typing import Final, assert_never

from msgspec import Struct

from payer.outcome import Answer, Broken, Outcome, Rejection, Throttled, Unfinished, Unreachable


class Backoff(Struct, frozen=True, kw_only=True):
    """A growing pause: somewhere between nothing and `base_seconds`, doubled by every attempt up to `cap_seconds`."""

    base_seconds: float
    cap_seconds: float
    attempts: int
    """Calls in all, the first included."""

    def delay_seconds(self, attempt: int, random: Random) -> float | None:
        """The pause after this attempt (from 1); None if it was the last."""
        if attempt >= self.attempts:
            return None
        # Full jitter: what failed together must not come back together.
        return random.uniform(0, min(self.cap_seconds, self.base_seconds * 2.0 ** (attempt - 1)))


THROTTLED: Final = Backoff(base_seconds=0.5, cap_seconds=10.0, attempts=30)
"""The vendor's own advice for calls that nobody holds a line open for."""
UNREACHABLE: Final = Backoff(base_seconds=1.0, cap_seconds=20.0, attempts=4)
BROKEN: Final = Backoff(base_seconds=0.5, cap_seconds=5.0, attempts=3)


class RetryPolicy:
    """Decides from how a call ended whether another is worth making."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def delay_seconds(self, outcome: Outcome, attempt: int) -> float | None:
        """How long to wait before the next attempt, when this one (counted from 1) ended so; None to give up."""
        match outcome:
            case Answer() | Rejection():
                return None
            case Throttled():
                return THROTTLED.delay_seconds(attempt, self._random)
            case Unreachable() | Unfinished():
                return UNREACHABLE.delay_seconds(attempt, self._random)
            case Broken():
                return BROKEN.delay_seconds(attempt, self._random)
            case _:
                assert_never(outcome)
