"""One stream, played once for everybody who may read the same of it.

    Streams -> Relay -> a bounded queue a reader -> whoever reads

A reader that is too slow for its queue is told so, and reads the log for itself until it is back: it holds nobody up,
and nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from bus.bell import Bell
from bus.events import Topic

Item = TypeVar("Item")
Positions = Mapping[Topic, int]
Step = tuple[Item, Positions]
"""An item, and how far its stream was read with it."""

_STEPS_AT_ONCE: Final = 16
"""Few enough for a reader's queue and for a socket's buffer: then readers have their turn."""
_READERS_AT_ONCE: Final = 100
"""Then others have their turn: each of these will write to a socket before the next are told."""


class Relay(Generic[Item]):
    """Hands the steps of one stream to its readers. Runs as a task of its own until it is closed, or fails."""

    __slots__ = ("_bound", "_opened", "_readers", "_task", "error", "reached")

    def __init__(self, play: Callable[[Relay[Item]], Awaitable[None]], *, bound: int, name: str) -> None:
        """`play` calls `open` once and then `push`, for as long as there is somebody; what it raises, readers raise.

        `bound` is how many items a reader's queue holds.
        """
        self._bound = bound
        self._readers: dict[RelayReader[Item], None] = {}
        self._opened: asyncio.Event | None = asyncio.Event()
        """Until it is open."""
        self.reached: Positions = {}
        """Every item up to here was handed to whoever was a reader then."""
        self.error: Exception | None = None
        """Why it has ended by itself."""
        self._task = asyncio.create_task(self._run(play), name=name)

    @property
    def shared(self) -> bool:
        """Whether there are several readers."""
        return len(self._readers) > 1

    @property
    def deserted(self) -> bool:
        return not self._readers

    def attach(self) -> RelayReader[Item]:
        """A new reader, to be detached; it hears nothing before it has started."""
        reader = RelayReader(self, self._bound)
        self._readers[reader] = None
        return reader

    def detach(self, reader: RelayReader[Item]) -> None:
        del self._readers[reader]

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    def open(self, reached: Positions) -> None:
        """From here on everything behind these positions is handed on."""
        self.reached = reached
        self._open()

    async def push(self, steps: Sequence[Step[Item]]) -> None:
        """Hand the next steps to all readers, some at a time; those that do not wait for their sockets keep up."""
        for start in range(0, len(steps), _STEPS_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            part = steps[start : start + _STEPS_AT_ONCE]
            self.reached = part[-1][1]  # first: who starts while the others are told reads these in the log
            readers = list(self._readers)
            for first in range(0, len(readers), _READERS_AT_ONCE):
                if first:
                    await asyncio.sleep(0)
                for reader in readers[first : first + _READERS_AT_ONCE]:
                    reader.push(part)

    async def wait_open(self) -> None:
        """Return when it is open. Raises what has ended it."""
        if self._opened is not None:
            await self._opened.wait()
        if self.error is not None:
            raise self.error

    async def _run(self, play: Callable[[Relay[Item]], Awaitable[None]]) -> None:
        try:
            await play(self)
        except Exception as error:
            self.error = error
            self._open()
            for reader in self._readers:
                reader.wake()

    def _open(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.set()


class RelayReader(Generic[Item]):
    """One reader's place at a relay."""

    __slots__ = ("_bound", "_held", "_lagged", "_relay", "_stirred")

    def __init__(self, relay: Relay[Item], bound: int) -> None:
        self._relay = relay
        self._bound = bound
        self._held: list[Step[Item]] = []
        self._lagged = True
        self._stirred = Bell()

    def __len__(self) -> int:
        return len(self._held)

    async def start(self) -> Positions:
        """Begin, or begin again: whatever is behind these positions will be given by `take`.

        So may be what is not, where it was under way: readers pass over what they have had.

        Raises what has ended the relay.
        """
        await self._relay.wait_open()
        self._held.clear()
        self._lagged = False
        return self._relay.reached

    def push(self, steps: Sequence[Step[Item]]) -> None:
        """Hold more steps for the reader; where they are too many none, and no others until it starts again."""
        if len(self._held) + len(steps) > self._bound:
            self._held.clear()
            self._lagged = True
        elif not self._lagged:
            self._held.extend(steps)
        self._stirred.ring()

    def wake(self) -> None:
        self._stirred.ring()

    async def take(self) -> Sequence[Step[Item]] | None:
        """Everything that is held, as soon as there is any; None where it lagged and has to start again.

        Raises what has ended the relay.
        """
        while not self._held:
            if self._lagged:
                return None
            if self._relay.error is not None:
                raise self._relay.error
            self._stirred.hush()
            await self._stirred.wait()
        held, self._held = self._held, []
        return held
