"""How every benchmark says what it found: one line a figure, beside its bar."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """What was measured, and what it is held to."""

    name: str
    value: float
    relation: Literal["<=", ">="]
    bar: float

    @property
    def passes(self) -> bool:
        return self.value <= self.bar if self.relation == "<=" else self.value >= self.bar


def report(figures: Sequence[Figure]) -> int:
    """Print the figures; the exit code: 0 if all hold, else 1."""
    print(f"load average {' '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")
    for figure in figures:
        verdict = "PASS" if figure.passes else "FAIL"
        print(f"{verdict}  {figure.name:<60} {figure.value:>10.3f}   bar {figure.relation} {figure.bar:g}")
    return 0 if all(figure.passes for figure in figures) else 1
