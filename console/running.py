"""How a command runs: its settings, its event loop, and its expected errors as one message and an exit code."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from bus.errors import CoveyError, LogLocked
from console.errors import UsedWrongly
from settings import Settings, SettingsInvalid, load


@contextmanager
def told() -> Iterator[None]:
    """An expected error becomes one message on stderr and an exit code."""
    try:
        yield
    except UsedWrongly as error:
        code, message = 2, str(error)
    except LogLocked as error:
        # Only commands that have the option write such a log.
        code = 1
        message = f"{str(error).removesuffix('.')} (--data data/two, or COVEY_LOG where that names the file)."
    except CoveyError as error:
        code, message = 1, str(error)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        code, message = 1, f"{error.filename or 'the machine'}: {error.strerror or error}"
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    else:
        return
    typer.echo(f"covey: {message}", err=True)
    raise typer.Exit(code)


def given_settings(*, data: Path | None = None) -> Settings:
    """The settings of this process, with the data folder that an option names. Raises UsedWrongly."""
    try:
        return load() if data is None else load(data=data)
    except SettingsInvalid as error:
        raise UsedWrongly(str(error)) from None


def run(program: Coroutine[Any, Any, int | None]) -> int:
    """Run it to its end on the loop that serves; its exit code."""
    gc.enable()
    # Of a broker that is away the error tells, in one message; the library's own lines would stand around it.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if sys.platform == "win32":
        return asyncio.run(program) or 0
    import uvloop  # noqa: PLC0415 - there is none on Windows

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(program) or 0


def say_ready(url: str) -> None:
    """Say where it listens."""
    typer.echo(f"Ready at {url}", err=True)
