"""One stream, played once for everybody who may read the same of it.

    Streams -> Relay -> a bounded queue a reader -> whoever reads

A reader that is too slow for its queue is told so, and reads the log for itself until it is back: it holds nobody up,
and nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from bus.bell import Bell
from bus.following import Following
from bus.stream import Positions, Step

_STEPS_AT_ONCE: Final = 16
"""Few enough for a reader's queue and for a socket's buffer: then readers have their turn."""
_READERS_AT_ONCE: Final = 100
"""Then others have their turn: each of these will write to a socket before the next are told."""
_RELAYS_AT_ONCE: Final = 100
"""The same of relays, most of which have one reader."""


class Stirred:
    """Relays that may have something to hand on: one call of the event loop serves them all."""

    def __init__(self) -> None:
        self._relays: deque[Relay] = deque()

    def add(self, relay: Relay) -> None:
        if not self._relays:
            asyncio.get_running_loop().call_soon(self._turn)
        self._relays.append(relay)

    def _turn(self) -> None:
        for _ in range(min(_RELAYS_AT_ONCE, len(self._relays))):
            self._relays.popleft().look()
        if self._relays:
            asyncio.get_running_loop().call_soon(self._turn)


class Relay:
    """Hands the steps of one stream to its readers, until it is closed, or fails.

    It runs when something comes. It has a task only while it needs one: to read the log, or to give others turns
    between many steps or readers.
    """

    __slots__ = ("_bound", "_closed", "_following", "_readers", "_stirred", "_task", "_to_look", "error", "reached")

    def __init__(self, follow: Callable[[Callable[[], None]], Following], *, bound: int, stirred: Stirred) -> None:
        """`follow` is given what stirs the relay. `bound` is how many items a reader's queue holds."""
        self._bound = bound
        self._stirred = stirred
        self._readers: dict[RelayReader, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._to_look = False
        self._closed = False
        self.reached: Positions = {}
        """Every item up to here was handed to whoever was a reader then."""
        self.error: Exception | None = None
        """Why it has ended by itself."""
        self._following = follow(self.stir)

    @property
    def begun(self) -> bool:
        """Whether everything behind some positions is handed on."""
        return self._following.begun

    @property
    def deserted(self) -> bool:
        return not self._readers

    def attach(self) -> RelayReader:
        """A new reader, to be detached; it hears nothing before it has started."""
        reader = RelayReader(self, self._bound)
        self._readers[reader] = None
        return reader

    def detach(self, reader: RelayReader) -> None:
        del self._readers[reader]

    def begin(self, ends: Positions) -> None:
        """From here on everything is handed on: `ends` is where the stream ended at some time since it was made."""
        self.reached = ends
        self._following.begin(ends, present=True)
        self.stir()  # what came meanwhile

    async def close(self) -> None:
        self._closed = True
        self._following.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def stir(self) -> None:
        """Something may have come."""
        if not self._to_look:
            self._to_look = True
            self._stirred.add(self)

    def look(self) -> None:
        """Hand on what came."""
        self._to_look = False
        if self._closed or self.error is not None or self._task is not None or not self._following.begun:
            return
        try:
            steps = self._following.at_hand(shared=len(self._readers) > 1)
        except Exception as error:
            self._fail(error)
            return
        if len(steps) <= _STEPS_AT_ONCE and len(self._readers) <= _READERS_AT_ONCE:
            self._hand(steps, list(self._readers))
            steps = []
        if steps or self._following.waits:
            self._task = asyncio.create_task(self._catch_up(steps), name="stream relay")

    async def _catch_up(self, steps: Sequence[Step]) -> None:
        """Hand on what took too long for one look."""
        try:
            await self._push(steps)
            while self._following.waits:
                await self._push(await self._following.from_log(shared=len(self._readers) > 1))
        except Exception as error:
            self._fail(error)
        finally:
            self._task = None
        self.stir()  # what came meanwhile

    async def _push(self, steps: Sequence[Step]) -> None:
        """Some at a time; readers that do not wait for their sockets keep up."""
        for start in range(0, len(steps), _STEPS_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            part = steps[start : start + _STEPS_AT_ONCE]
            self.reached = part[-1][1]  # first: who starts while the others are told reads these in the log
            readers = list(self._readers)
            for first in range(0, len(readers), _READERS_AT_ONCE):
                if first:
                    await asyncio.sleep(0)
                self._hand(part, readers[first : first + _READERS_AT_ONCE])

    def _hand(self, steps: Sequence[Step], readers: Sequence[RelayReader]) -> None:
        if steps:
            self.reached = steps[-1][1]
            for reader in readers:
                reader.push(steps)

    def _fail(self, error: Exception) -> None:
        self.error = error
        for reader in self._readers:
            reader.wake()


class RelayReader:
    """One reader's place at a relay."""

    __slots__ = ("_bound", "_held", "_lagged", "_relay", "_stirred")

    def __init__(self, relay: Relay, bound: int) -> None:
        self._relay = relay
        self._bound = bound
        self._held: list[Step] = []
        self._lagged = True
        self._stirred = Bell()

    def __len__(self) -> int:
        return len(self._held)

    def start(self) -> Positions:
        """Begin, or begin again, at a relay that has begun: whatever is behind these positions is given by `take`.

        So may be what is not, where it was under way: readers pass over what they have had.

        Raises what has ended the relay.
        """
        if self._relay.error is not None:
            raise self._relay.error
        self._held.clear()
        self._lagged = False
        return self._relay.reached

    def push(self, steps: Sequence[Step]) -> None:
        """Hold more steps for the reader; where they are too many none, and no others until it starts again."""
        if len(self._held) + len(steps) > self._bound:
            self._held.clear()
            self._lagged = True
        elif not self._lagged:
            self._held.extend(steps)
        self._stirred.ring()

    def wake(self) -> None:
        self._stirred.ring()

    async def take(self) -> Sequence[Step] | None:
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
