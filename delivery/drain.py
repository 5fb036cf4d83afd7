"""Going away without a storm: sockets are told to come back one after another, not all at once."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import Final

import structlog

from bus.clock import Clock
from delivery.connections import Connection, Connections
from delivery.endings import Ending

_LOG: Final = structlog.get_logger(__name__)
_CLOSE_SECONDS: Final = 5.0
"""A reader that stalls is not waited for longer: no close code can reach it anyway."""


class Drain:
    """Whether this instance goes away, and how.

    While it drains, the HTTP door answers 503, new sockets are acknowledged and closed with 1012, and readiness is
    false. Sockets that were not yet acknowledged are left to that rule: closing before the ack, some clients would
    never come back.
    """

    def __init__(self, *, connections: Connections, clock: Clock, random: Random, window_seconds: float) -> None:
        self._connections = connections
        self._clock = clock
        self._random = random
        self._window_seconds = window_seconds
        self.active = False
        """For readiness, and for the doors."""

    async def run(self) -> None:
        """Close every acknowledged socket, evenly spread over the window with jitter; return when all were told."""
        self.active = True
        connections = self._connections.admitted()
        if connections:
            _LOG.warning(
                "closing_connections",
                count=len(connections),
                over_seconds=self._window_seconds,
                note="clients come back by cursor; a second signal ends this at once",
            )
        self._random.shuffle(connections)
        began = self._clock.monotonic()
        async with asyncio.TaskGroup() as closing:
            for place, connection in enumerate(connections):
                due = began + (place + self._random.random()) * self._window_seconds / len(connections)
                await self._clock.sleep(due - self._clock.monotonic())
                closing.create_task(_close(connection), name="drain socket")


async def _close(connection: Connection) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.end(Ending.RESTART, "This instance is going away: connect again.")
