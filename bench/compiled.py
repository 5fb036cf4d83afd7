"""Covey's own code compiled as an installation leaves it, and as its rivals' packages are."""

from __future__ import annotations

import compileall
import re
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[1]


def compile_checkout() -> None:
    """Before starts are timed: where the environment forbids Python to keep bytecode, each would compile it again."""
    for part in _ROOT.iterdir():
        if part.suffix == ".py":
            compileall.compile_file(part, quiet=1)
        elif (part / "__init__.py").exists() or part.name == "bench":
            compileall.compile_dir(part, quiet=1, rx=re.compile("node_modules"))
