"""Whether handlers may begin: open, paused by somebody, or halted by the limit on dead letters."""

from __future__ import annotations

import asyncio

from prometheus_client import Gauge

from bus.consumer.stop_rule import StopReason


class Gate:
    """Open at first. What is at work when it closes goes on to its end."""

    def __init__(self, halted_metric: Gauge) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._metric = halted_metric
        self.halted: StopReason | None = None
        """Which limit halted it; None while it is not halted."""

    @property
    def closed(self) -> bool:
        return not self._open.is_set()

    def pause(self) -> None:
        self._open.clear()

    def halt(self, reason: StopReason) -> None:
        self._open.clear()
        self.halted = reason
        self._metric.set(1)

    def open(self) -> None:
        self.halted = None
        self._metric.set(0)
        self._open.set()

    async def wait(self) -> None:
        """Return once it is open."""
        await self._open.wait()
