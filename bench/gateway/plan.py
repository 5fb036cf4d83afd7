"""What is measured, on what, and how large."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report import Figure


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Of one run of the benchmarks."""

    services: Mapping[str, str]
    """Where Kafka and Redis listen."""
    systems: Sequence[str]
    """Those that are measured: the rivals among them wherever a bar names one."""
    rounds: int
    scale: float
    """Of all numbers of sockets and clients; 1 is what the bars are for."""

    def of(self, number: int) -> int:
        """A number of sockets, scaled."""
        return max(1, round(number * self.scale))

    def beside(self, *rivals: str) -> Sequence[str]:
        """Covey and these rivals, as far as they are asked for."""
        return [system for system in ("covey", *rivals) if system in self.systems]

    @staticmethod
    def ratio(name: str, found: Mapping[str, Sequence[float]], rival: str, bar: float) -> Sequence[Figure]:
        """Covey's median by the rival's, which may be `bar` at most; nothing where either was not measured."""
        if not (found.get("covey") and found.get(rival)):
            return []
        value = statistics.median(found["covey"]) / statistics.median(found[rival])
        return [Figure(f"{name}, covey / {rival}", value, "<=", bar)]
