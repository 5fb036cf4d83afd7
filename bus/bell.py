"""A bell that one may wait for: as `asyncio.Event`, which holds a deque of 700 bytes even while nobody waits."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung, until it is hushed. One waiter at a time; to be used on the event loop only."""

    __slots__ = ("_rung", "_waiter")

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Let whoever waits go on, and whoever comes not wait."""
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def hush(self) -> None:
        """From now on it is waited for again."""
        self._rung = False

    async def wait(self) -> None:
        """Return when it is rung, at once if it is."""
        while not self._rung:  # it may have been hushed again before the waiter's turn
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
