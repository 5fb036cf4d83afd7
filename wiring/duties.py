"""What one process does of all there is to do."""

from __future__ import annotations

from typing import Final, NamedTuple


class Duties(NamedTuple):
    """What a process does. Over a log that is a file one process does it all."""

    gateway: bool = True
    """Whether clients are served; without, only probes are answered."""
    workers: int = 1
    """How many workers make calls."""


EVERYTHING: Final = Duties()
