"""Fan-out: what the readers of the log take in reaches everybody in this process who listens to it.

    Reader -> Fanout.take -> LogBackend -> broadcaster -> one subscription a channel -> LiveTails

Of `broadcaster` only the public interface is used. Its queues are unbounded and its listener can die unseen, so it is
fed by a supervised reader through a bounded queue, and nothing waits behind it but bounded tails.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, cast

from broadcaster import Broadcast, BroadcastBackend
from broadcaster import Event as Message

from bus.events import Event, Recorded, Topic
from bus.ids import MemberId, TenantId, derived_id
from bus.traces import continued

PAYER_CHANNEL: Final = "payers"
"""All of `payer.events`."""

_UNDISPATCHED_EVENTS: Final = 1024
"""The backend holds no more; then the reader waits."""


def member_channel(tenant_id: TenantId, member_id: MemberId) -> str:
    """The channel of one member's events in `rte.events`; an opaque name, so that it may appear anywhere."""
    return derived_id("member", tenant_id, member_id)


def _channel_of(event: Event) -> str | None:
    if event.topic is Topic.PAYER:
        return PAYER_CHANNEL
    if event.tenant_id is None or event.member_id is None:
        return None
    return member_channel(event.tenant_id, event.member_id)


class LogBackend(BroadcastBackend):
    """What broadcaster is put upon: events that a reader of the log publishes, by reference.

    Events of channels that nobody is subscribed to are left out.
    """

    def __init__(self) -> None:
        self._subscribed: set[str] = set()
        self._published: asyncio.Queue[Message] = asyncio.Queue(_UNDISPATCHED_EVENTS)

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
        """Waits while too many events are not dispatched yet."""
        if channel in self._subscribed:
            await self._published.put(Message(channel, message))

    async def next_published(self) -> Message:
        return await self._published.get()


class LiveTail:
    """The newest events of some channels that its owner has not taken yet, up to a bound.

    Past its bound it drops them all and has lagged: its owner reads the log again. So nothing is lost, and a slow owner
    costs no more than the bound.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._held: deque[Recorded] = deque()
        self._lagged = False
        self._stirred = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    def push(self, recorded: Recorded) -> None:
        """Hold one more event for the owner."""
        if len(self._held) >= self._bound:
            self._held.clear()
            self._lagged = True
        elif not self._lagged:
            self._held.append(recorded)
        self._stirred.set()

    def wake(self) -> None:
        """Let `wait` return though nothing came."""
        self._stirred.set()

    async def wait(self) -> None:
        """Return as soon as something came, the tail lagged, or somebody woke it."""
        await self._stirred.wait()

    def drain(self) -> Sequence[Recorded] | None:
        """Take all that is held, oldest first; None where it lagged: everything since the last drain is in the log."""
        held = None if self._lagged else tuple(self._held)
        self._held.clear()
        self._lagged = False
        self._stirred.clear()
        return held


class Fanout:
    """Spreads events over tails. Enter it before the readers start; leave it after they have ended."""

    def __init__(self, *, tail_bound: int = 256) -> None:
        """`tail_bound` is how many events a tail holds before it lags."""
        self._broadcast = Broadcast(backend=LogBackend())
        self._tail_bound = tail_bound
        self._subscriptions: dict[str, _Subscription] = {}

    async def __aenter__(self) -> Self:
        await self._broadcast.connect()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Tails that are still held hear nothing more."""
        while self._subscriptions:
            _, subscription = self._subscriptions.popitem()
            await subscription.close()
        await self._broadcast.disconnect()

    @property
    def held(self) -> int:
        """Events that wait in tails for their owners."""
        tails = {id(tail): tail for subscription in self._subscriptions.values() for tail in subscription.tails}
        return sum(len(tail) for tail in tails.values())

    async def take(self, batch: Sequence[Recorded]) -> None:
        """Publish the next events of a topic: the sink of its reader."""
        for recorded in batch:
            channel = _channel_of(recorded.event)
            if channel is not None:
                with continued("fan out", recorded.event.traceparent, type=recorded.event.type):
                    await self._broadcast.publish(channel, recorded)

    @asynccontextmanager
    async def tail(self, *channels: str) -> AsyncIterator[LiveTail]:
        """A tail of these channels that misses nothing that is published from the moment it is entered.

        What was published shortly before may come too.
        """
        tail = LiveTail(self._tail_bound)
        async with AsyncExitStack() as stack:
            for channel in channels:
                await stack.enter_async_context(self._listening(channel, tail))
            yield tail

    @asynccontextmanager
    async def _listening(self, channel: str, tail: LiveTail) -> AsyncIterator[None]:
        subscription = self._subscriptions.get(channel)
        if subscription is None:
            subscription = self._subscriptions[channel] = _Subscription(self._broadcast, channel)
        subscription.tails.add(tail)
        try:
            await subscription.in_effect.wait()
            yield
        finally:
            subscription.tails.discard(tail)
            # Forgotten before it closes, without a pause between: who comes meanwhile makes a subscription of its own.
            if not subscription.tails and self._subscriptions.get(channel) is subscription:
                del self._subscriptions[channel]
                await subscription.close()


class _Subscription:
    """One channel of broadcaster, and the tails in this process that it is spread over."""

    def __init__(self, broadcast: Broadcast, channel: str) -> None:
        self.tails: set[LiveTail] = set()
        self.in_effect = asyncio.Event()
        self._task = asyncio.create_task(self._spread(broadcast, channel), name=f"fanout {channel}")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _spread(self, broadcast: Broadcast, channel: str) -> None:
        async with broadcast.subscribe(channel) as subscriber:
            self.in_effect.set()
            while True:
                message = await subscriber.get()
                recorded = cast(Recorded, message.message)
                for tail in self.tails:
                    tail.push(recorded)
