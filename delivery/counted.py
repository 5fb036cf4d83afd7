"""How much goes out by a door."""

from __future__ import annotations

import asyncio

from prometheus_client import Counter


class TurnSum:
    """What is counted in one turn of the event loop, told to a metric in one piece: it takes a lock, which for every
    delivery would be a tenth of the cost."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._sum = 0

    def add(self, amount: int = 1) -> None:
        if not self._sum:
            asyncio.get_running_loop().call_soon(self._tell)
        self._sum += amount

    def _tell(self) -> None:
        told, self._sum = self._sum, 0
        self._counter.inc(told)
