"""When everybody comes at once: so many are served at a time, so many wait in order, the rest are told to come later.

Between two steps of those who are served everything else goes on; so a storm costs live delivery no more than the
places that the gate has.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from delivery.errors import Crowded


class Gate:
    """So many places, and a queue before them, first come, first served."""

    def __init__(self, *, at_once: int = 16, waiting: int = 5000, tell: Callable[[int], None] = lambda _: None) -> None:
        """`tell` hears how many wait, whenever that changes."""
        self._free = at_once
        self._waiting_most = waiting
        self._queue: deque[asyncio.Future[None]] = deque()
        self._tell = tell

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def free(self) -> bool:
        """Whether one would get a place at once."""
        return self._free > 0 and not self._queue

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for one's turn, and hold a place while within. Raises Crowded, at once, where too many wait."""
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    async def _enter(self) -> None:
        if self._free and not self._queue:
            self._free -= 1
            return
        if len(self._queue) >= self._waiting_most:
            raise Crowded("Too many connect at once: try again shortly.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._tell(len(self._queue))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place came in the moment its owner went
            raise
        finally:
            if turn in self._queue:
                self._queue.remove(turn)
            self._tell(len(self._queue))

    def _leave(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
