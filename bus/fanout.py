"""Fan-out: what the readers of the log take in reaches everybody in this process who listens to it.

    Reader -> Fanout.take -> LogBackend -> broadcaster -> one subscription a topic -> LiveTails, by their channels

Of `broadcaster` only the public interface is used. Its queues are unbounded and its listener can die unseen, so it is
fed by a supervised reader through a bounded queue, whole batches at a time, and nothing waits behind it but bounded
tails (docs/decisions/0016).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, cast

from broadcaster import Broadcast, BroadcastBackend
from broadcaster import Event as Message

from bus.bell import Bell
from bus.events import Recorded, Topic
from bus.ids import MemberId, TenantId
from bus.traces import continued

Channel: TypeAlias = tuple[str | None, ...]
"""What a tail listens to."""
PAYER_CHANNEL: Final[Channel] = (Topic.PAYER,)
"""All of `payer.events`."""

_UNDISPATCHED_BATCHES: Final = 2
"""The backend holds no more; then the reader waits."""


def member_channel(tenant_id: TenantId, member_id: MemberId) -> Channel:
    """The channel of one member's events in `rte.events`."""
    return tenant_id, member_id


class LogBackend(BroadcastBackend):
    """What broadcaster is put upon: batches of a topic that a reader of the log publishes, by reference.

    Topics that nobody is subscribed to are left out.
    """

    def __init__(self) -> None:
        self._subscribed: set[str] = set()
        self._published: asyncio.Queue[Message] = asyncio.Queue(_UNDISPATCHED_BATCHES)

    async def connect(self) -> None:
        """Nothing to connect to: the reader comes to us."""

    async def disconnect(self) -> None:
        """Nothing to disconnect from."""

    async def subscribe(self, group: str) -> None:
        # Must not suspend: broadcaster enters its subscriber only after this returns, and would lose what came between.
        self._subscribed.add(group)

    async def unsubscribe(self, group: str) -> None:
        self._subscribed.discard(group)

    async def publish(self, channel: str, message: Any) -> None:
        """Waits while too many batches are not dispatched yet."""
        if channel in self._subscribed:
            await self._published.put(Message(channel, message))

    async def next_published(self) -> Message:
        return await self._published.get()


class LiveTail:
    """The newest events of some channels that its owner has not taken yet, up to a bound.

    Past its bound it drops them all and has lagged: its owner reads the log again. So nothing is lost, and a slow owner
    costs no more than the bound.
    """

    __slots__ = ("_bell", "_bound", "_held", "_lagged", "_stir")

    def __init__(self, bound: int, stir: Callable[[], None] | None = None) -> None:
        """Its owner waits; one that gives `stir` need not, since that is called whenever `wait` would return."""
        self._bound = bound
        self._held: list[Recorded] = []
        self._lagged = False
        self._bell: Bell | None = None
        if stir is None:
            self._bell = Bell()
            stir = self._bell.ring
        self._stir = stir

    def __len__(self) -> int:
        return len(self._held)

    def push(self, recorded: Recorded) -> None:
        """Hold one more event for the owner."""
        if len(self._held) >= self._bound:
            self._held.clear()
            self._lagged = True
        elif not self._lagged:
            self._held.append(recorded)
        self._stir()

    def wake(self) -> None:
        """Let `wait` return though nothing came."""
        self._stir()

    async def wait(self) -> None:
        """Return as soon as something came, the tail lagged, or somebody woke it. For its owner alone."""
        if self._bell is not None:
            await self._bell.wait()

    def drain(self) -> Sequence[Recorded] | None:
        """Take all that is held, oldest first; None where it lagged: everything since the last drain is in the log."""
        held = None if self._lagged else tuple(self._held)
        self._held.clear()
        self._lagged = False
        if self._bell is not None:
            self._bell.hush()
        return held


class Fanout:
    """Spreads events over tails. Enter it before the readers start; leave it after they have ended."""

    def __init__(self, *, tail_bound: int = 256) -> None:
        """`tail_bound` is how many events a tail holds before it lags."""
        self._broadcast = Broadcast(backend=LogBackend())
        self._tail_bound = tail_bound
        self._tails: dict[Channel, set[LiveTail]] = {}
        self._spreading: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._broadcast.connect()
        for topic in Topic:
            in_effect = asyncio.Event()
            spread = self._spread(topic, in_effect)
            self._spreading.add(asyncio.create_task(spread, name=f"fanout {topic.value}"))
            await in_effect.wait()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Tails that are still held hear nothing more."""
        for task in self._spreading:
            task.cancel()
        await asyncio.wait(self._spreading)
        await self._broadcast.disconnect()

    @property
    def held(self) -> int:
        """Events that wait in tails for their owners."""
        tails = {id(tail): tail for of_channel in self._tails.values() for tail in of_channel}
        return sum(len(tail) for tail in tails.values())

    async def take(self, batch: Sequence[Recorded]) -> None:
        """Publish the next events, of any topics: the sink of their reader."""
        by_topic: dict[Topic, list[Recorded]] = {}
        for recorded in batch:
            by_topic.setdefault(recorded.event.topic, []).append(recorded)
        for topic, of_topic in by_topic.items():
            await self._broadcast.publish(topic.value, of_topic)

    @contextmanager
    def tail(self, *channels: Channel) -> Iterator[LiveTail]:
        """As `listen`, for as long as it is entered."""
        tail = self.listen(channels)
        try:
            yield tail
        finally:
            self.leave(channels, tail)

    def listen(self, channels: Iterable[Channel], stir: Callable[[], None] | None = None) -> LiveTail:
        """A tail of these channels that misses nothing that is published from now on, until it leaves them.

        What was published shortly before may come too. `stir` is the tail's.
        """
        tail = LiveTail(self._tail_bound, stir)
        for channel in channels:
            self._tails.setdefault(channel, set()).add(tail)
        return tail

    def leave(self, channels: Iterable[Channel], tail: LiveTail) -> None:
        """The tail hears nothing more."""
        for channel in channels:
            listening = self._tails[channel]
            listening.discard(tail)
            if not listening:
                del self._tails[channel]

    async def _spread(self, topic: Topic, in_effect: asyncio.Event) -> None:
        async with self._broadcast.subscribe(topic.value) as subscriber:
            in_effect.set()
            while True:
                message = await subscriber.get()
                for recorded in cast("Sequence[Recorded]", message.message):
                    event = recorded.event
                    # An event of no member is on no channel: nobody could listen there.
                    channel = PAYER_CHANNEL if topic is Topic.PAYER else (event.tenant_id, event.member_id)
                    if (tails := self._tails.get(channel)) is not None:
                        _share(recorded, tails)


def _share(recorded: Recorded, tails: Iterable[LiveTail]) -> None:
    event = recorded.event
    with nullcontext() if event.traceparent is None else continued("fan out", event.traceparent, type=event.type):
        for tail in tails:
            tail.push(recorded)
