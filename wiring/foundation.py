"""What every part is given."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from bus.clock import Clock
from bus.metrics import Metrics
from bus.sealing import Sealer
from settings import Settings


class Foundation(NamedTuple):
    """Settings, and what stands for the machine: time, randomness; and where all report and all seal."""

    settings: Settings
    url: str
    """Where this server listens."""
    clock: Clock
    random: Random
    metrics: Metrics
    sealer: Sealer
