"""Tasks that somebody owns."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine
from typing import Any

import structlog

from bus.metrics import Metrics

_logger = structlog.get_logger(__name__)


class Tasks:
    """Work that goes on beside its owner; one that fails by a fault of ours is told, counted, and forgotten."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin it; it is not waited for."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def settle(self) -> None:
        """Wait until none is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """End them all now."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # The error's own words are not logged: they may repeat what was asked.
            frames = traceback.format_tb(error.__traceback__)
            _logger.error("task_failed", task=task.get_name(), error=type(error).__name__, frames=frames)
            self._metrics.internal_errors.labels("scheduler").inc()
