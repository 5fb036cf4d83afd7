"""Where the command line draws: a terminal as wide as it is, or a file or pipe, where nothing has to be cut."""

from __future__ import annotations

from typing import Final

from rich.console import Console

_WIDE_COLUMNS: Final = 10_000
"""Off a terminal: more than any table needs. Nothing is filled up to it."""


def printer(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_WIDE_COLUMNS)
