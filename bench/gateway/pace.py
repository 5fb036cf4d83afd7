"""Events one after another, at a pace, each timed until it has arrived everywhere."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from bench.gateway.pinned import Served
from bench.gateway.tally import TimedTally
from bench.load import Times

_LAST_SECONDS: Final = 120.0
"""For a server that is behind."""
_FIRST_EVENTS: Final = 5
"""Not counted: the first ones find everything cold."""


class Pace:
    """Publishes to members in turn. Each event is made before it is due."""

    def __init__(self, server: Served, tally: TimedTally, followers: Mapping[int, int]) -> None:
        """`followers`: the members, and how many sockets follow each."""
        self._server = server
        self._tally = tally
        self._followers = followers
        self._turns = itertools.cycle(followers)
        self._next: Counter[int] = Counter()

    async def warm_up(self, per_second: float) -> None:
        """A few events that are not counted."""
        await self.times(per_second, _FIRST_EVENTS / per_second)

    async def times(self, per_second: float, seconds: float) -> Times:
        """From sending to arrival, at each socket, over this long. Raises RuntimeError where anything is wrong."""
        await self._publish(per_second, int(per_second * seconds), asyncio.Event())
        return await self._arrived()

    async def times_until(self, per_second: float, stop: asyncio.Event) -> Times:
        """The same until `stop` is set."""
        await self._publish(per_second, 10**9, stop)
        return await self._arrived()

    async def _publish(self, per_second: float, events: int, stop: asyncio.Event) -> None:
        began = time.perf_counter()
        for count in range(events):
            if stop.is_set():
                return
            number = next(self._turns)
            index = self._next[number]
            self._next[number] += 1
            publish = self._server.one(number, index)
            await asyncio.sleep(max(0.0, began + count / per_second - time.perf_counter()))
            self._tally.expect(self._followers[number])
            await self._tally.send(number, index, publish)

    async def _arrived(self) -> Times:
        async with asyncio.timeout(_LAST_SECONDS):
            await self._tally.done.wait()
        self._tally.check()
        return self._tally.taken()
