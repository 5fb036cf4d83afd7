"""What `covey rebuild` shows: an empty Redis filled from the log."""

from __future__ import annotations

from random import SystemRandom
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bus.clock import Clock, SystemClock
from bus.metrics import Metrics
from bus.redis.rebuild import Rebuild
from settings import Settings
from wiring.duties import EVERYTHING
from wiring.foundation import Foundation, sealer_of
from wiring.shared import shared_store

_LOOK_AGAIN_SECONDS: Final = 1.0


async def rebuilt(settings: Settings) -> int:
    """As `shown`, of the views that the settings name. Raises LogUnavailable, StateUnavailable."""
    base = Foundation(settings, "", SystemClock(), SystemRandom(), Metrics(), sealer_of(settings))
    async with shared_store(base, EVERYTHING) as shared:
        return await shown(shared.rebuild, base.clock, Console(stderr=True))


async def shown(rebuild: Rebuild, clock: Clock, console: Console) -> int:
    """Fill the views up to the log's present end and say so; while an instance does it already, wait for it.

    The bar is for terminals only. Safe to break off: it goes on where it was. Raises as `fill`.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Filling Redis from the log", total=None)

        def moved(done: int, total: int) -> None:
            bar.update(task, description="Filling Redis from the log", completed=done, total=total)

        waited = False
        while not await rebuild.fill(moved):
            if not waited:
                console.print("An instance fills Redis already: waiting for it.")
            waited = True
            await clock.sleep(_LOOK_AGAIN_SECONDS)
    console.print("Redis holds all that the log has.")
    return 0
