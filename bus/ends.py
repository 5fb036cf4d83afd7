"""Where each topic ends, and who waits for it to grow."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bus.errors import LogUnavailable
from bus.events import Topic


class Ends:
    """The newest position of every topic. To be used on the event loop only."""

    def __init__(self, positions: Mapping[Topic, int]) -> None:
        self._positions = {topic: positions.get(topic, 0) for topic in Topic}
        self._grown = {topic: asyncio.Event() for topic in Topic}
        self._closed = False

    def __getitem__(self, topic: Topic) -> int:
        """The position of the topic's newest event ever written; 0 if there was none."""
        return self._positions[topic]

    def advance(self, positions: Mapping[Topic, int]) -> None:
        """These topics now end there: wake those who waited."""
        self._positions.update(positions)
        for topic in positions:
            self._wake(topic)

    async def wait_beyond(self, topic: Topic, position: int) -> None:
        """Return as soon as the topic ends behind `position`. Raises LogUnavailable once the log is closed."""
        while self._positions[topic] <= position:
            if self._closed:
                raise LogUnavailable("The log was closed.")
            await self._grown[topic].wait()

    def close(self) -> None:
        """Tell everybody who waits that nothing will come."""
        self._closed = True
        for topic in Topic:
            self._wake(topic)

    def _wake(self, topic: Topic) -> None:
        self._grown[topic].set()
        self._grown[topic] = asyncio.Event()
