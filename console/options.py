"""What options of the command line are made from: each kind says its form when it is given another."""

from __future__ import annotations

import re
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import typer

from console.errors import UsedWrongly


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"covey {version('covey')}")
        raise typer.Exit


Port = Annotated[int, typer.Option(min=0, max=65_535, metavar="PORT", help="Port to listen on; 0 takes a free one.")]
Host = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for every one of this machine.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="FOLDER", help="Folder for the log and the development key, in place of COVEY_DATA."
    ),
]
Version = Annotated[
    bool,
    typer.Option("--version", callback=_tell_version, is_eager=True, metavar="", help="Print the version and end."),
]
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


def day(text: str) -> date:
    """A day of the calendar. Raises typer.BadParameter, which does not repeat it: it may be a birth date."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise typer.BadParameter("give a day as year-month-day (YYYY-MM-DD), like 2004-04-04.") from None


def duration(text: str) -> int:
    """Seconds. Raises UsedWrongly."""
    match = re.fullmatch(r"([1-9]\d{0,5})([smh])", text)
    if match is None:
        raise UsedWrongly("--ttl: allowed are a whole number and s, m or h, like 90s, 15m, 2h.")
    return int(match[1]) * _SECONDS[match[2]]
