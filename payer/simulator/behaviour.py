"""How a simulated payer behaves, and how long a call to it takes."""

from __future__ import annotations

import math
from enum import StrEnum
from random import Random
from typing import Final

_MEDIAN_SECONDS: Final = 3.0
_P95_SECONDS: Final = 12.0
_Z95: Final = 1.6449  # standard deviations from the median to the 95th percentile
_SIGMA: Final = math.log(_P95_SECONDS / _MEDIAN_SECONDS) / _Z95
_LONGEST_SECONDS: Final = 90.0
_SLOW_SECONDS: Final = (60.0, 90.0)
_HOLD_SECONDS: Final = 120.0


class Behaviour(StrEnum):
    """Named after the payer ids that behave so from the start."""

    SIMOK = "SIMOK"
    """Answers; lognormal, median 3 s, 95 % within 12 s, never more than 90 s."""
    SIMSLOW = "SIMSLOW"
    """Answers after 60 to 90 s."""
    SIMHANG = "SIMHANG"
    """Does not answer: the clearinghouse gives up after 120 s (HTTP 504)."""
    SIMDOWN = "SIMDOWN"
    """AAA 42 within HTTP 200."""
    SIMFLAKY = "SIMFLAKY"
    """AAA 80 within HTTP 200, half the time."""
    SIM500 = "SIM500"
    """The clearinghouse fails: HTTP 500."""
    SIM429 = "SIM429"
    """The clearinghouse refuses for load, at once and without a slot: HTTP 429."""
    SIMREJECT = "SIMREJECT"
    """AAA 75 within HTTP 200."""
    SIMGARBAGE = "SIMGARBAGE"
    """By turns: not JSON, cut off within the body, JSON of the wrong shape."""


def seconds_of(behaviour: Behaviour, randomness: Random) -> float:
    """How long one call takes once it has its slot, before the simulator's speed divides it."""
    if behaviour is Behaviour.SIMHANG:
        return _HOLD_SECONDS
    if behaviour is Behaviour.SIMSLOW:
        return randomness.uniform(*_SLOW_SECONDS)
    return min(randomness.lognormvariate(math.log(_MEDIAN_SECONDS), _SIGMA), _LONGEST_SECONDS)
