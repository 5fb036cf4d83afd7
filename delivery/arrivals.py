"""When everybody comes at once: new connections, and what they ask, are taken up a few at a time, so that the event
loop's turns stay short, and what is live goes out between them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

_A_TURN: Final = 8
"""New connections that begin in one turn of the event loop: reading a handshake takes a tenth of a millisecond."""


class Arrivals:
    """The order in which they begin: at once while few come, else in turns, first come, first served."""

    def __init__(self, *, a_turn: int = _A_TURN) -> None:
        """`a_turn` is how many may begin in one turn of the event loop."""
        self._a_turn = a_turn
        self._begun = 0
        """In this turn of the loop."""
        self._waiting: deque[Callable[[], None]] = deque()

    def come(self, begin: Callable[[], None]) -> bool:
        """Whether one may begin now; else `begin` is called when it may."""
        if self._begun == 0:
            asyncio.get_running_loop().call_soon(self._turn)
        if self._begun < self._a_turn and not self._waiting:
            self._begun += 1
            return True
        self._waiting.append(begin)
        return False

    async def wait(self) -> None:
        """Return when one may begin."""
        turn = asyncio.get_running_loop().create_future()
        if not self.come(lambda: None if turn.done() else turn.set_result(None)):  # it may have been given up
            await turn

    def _turn(self) -> None:
        self._begun = min(self._a_turn, len(self._waiting))
        if self._begun:
            asyncio.get_running_loop().call_soon(self._turn)
        for _ in range(self._begun):
            self._waiting.popleft()()
