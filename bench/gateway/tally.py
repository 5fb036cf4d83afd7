"""What all sockets of a run got, and how late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.gateway.pinned import Publish
from bench.load import Times


@dataclass
class Tally:
    """What all sockets of a run got."""

    delivered: int = 0
    expected: int = 0
    lost: int = 0
    """Later ones came without them."""
    repeated: int = 0
    last: float = 0.0
    wrong: list[str] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self, deliveries: int) -> None:
        self.expected += deliveries
        self.done.clear()

    def got(self, number: int, indices: Sequence[int]) -> None:  # noqa: ARG002 (of whom: for heirs)
        """Events of a member have come to one socket."""
        self.delivered += len(indices)
        if self.delivered + self.lost >= self.expected:
            self.last = time.perf_counter()
            self.done.set()

    def check(self) -> None:
        """Raises RuntimeError unless everybody got exactly its events."""
        if self.wrong or self.lost or self.repeated or self.delivered != self.expected:
            counts = f"{len(self.wrong)} wrong, {self.lost} lost, {self.repeated} repeated"
            raise RuntimeError(f"{counts}, {self.delivered} of {self.expected}: {self.wrong[:3]}")


@dataclass
class TimedTally(Tally):
    """The same, with the time from an event's sending to its arrival at each socket."""

    sent: dict[tuple[int, int], float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def got(self, number: int, indices: Sequence[int]) -> None:
        now = time.perf_counter()
        self.seconds += [now - self.sent[number, index] for index in indices]
        super().got(number, indices)

    async def send(self, number: int, index: int, publish: Publish) -> None:
        """Publish the member's event of this number; its time counts from here."""
        self.sent[number, index] = time.perf_counter()
        await publish()

    def taken(self) -> Times:
        """The times since this was last asked."""
        times, self.seconds = Times(self.seconds, 0.0), []
        return times
