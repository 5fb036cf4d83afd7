"""Whose a socket is: from the token of its `connection_init`, through its renewals, to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from random import Random
from typing import Any, Protocol

from bus.clock import Clock
from bus.metrics import Metrics
from delivery.caller import Caller
from delivery.connections import Connection, Connections
from delivery.credentials import connection_token
from delivery.drain import Drain
from delivery.endings import Ending
from delivery.errors import Crowded, Draining, RateLimited, TokenRefused, Unavailable
from delivery.lifetime import Lifetime, LifetimeLimits, check_renewal, renewing_token
from delivery.messages import ConnectionInit, Ping
from delivery.rates import Rates
from delivery.storm import Gate
from delivery.timers import Timers
from delivery.tokens import Door, TokenVerifier
from delivery.websocket import SocketGone


@dataclass(frozen=True, kw_only=True)
class SessionDoor:
    """What a door needs to know whose its sockets are, and how long and how many they may be."""

    verifier: TokenVerifier
    rates: Rates
    connections: Connections
    drain: Drain
    metrics: Metrics
    clock: Clock
    timers: Timers
    """By that clock."""
    context_factory: Callable[[Caller], object]
    """What the operations of a caller are given."""
    lifetime: LifetimeLimits = field(default_factory=LifetimeLimits)
    handshakes: Gate = field(default_factory=Gate)
    random: Random = field(default_factory=Random)
    come_back_seconds: float = 5.0
    """Those who find the gate crowded are sent away one by one within this time, so that they return so, too."""


class SessionSocket(Connection, Protocol):
    """The socket that a session is of."""

    @property
    def closed(self) -> bool:
        """Nothing can be sent any more."""
        ...

    async def say(self, message: object) -> None:
        """Send one message as JSON. Raises SocketGone."""
        ...

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run it beside, and end it with the socket."""
        ...

    def close(self, ending: Ending, reason: str) -> None:
        """Close it for this cause, as `end` does; its operations have ended when this returns."""
        ...


class Session:
    """One socket's. Its caller is None until it is acknowledged, and stays the same from then on."""

    __slots__ = (
        "_door",
        "_last_operation",
        "_lifetime",
        "_running",
        "_socket",
        "begun",
        "caller",
        "context",
        "turned_away",
    )

    def __init__(self, door: SessionDoor, socket: SessionSocket) -> None:
        self._door = door
        self._socket = socket
        self._running = 0
        self._lifetime: Lifetime | None = None
        self._last_operation = door.clock.monotonic()
        self.begun = False
        """Its `connection_init` came."""
        self.caller: Caller | None = None
        self.context: object = None
        """Of the caller's operations."""
        self.turned_away = False
        """It was acknowledged only to be told to come later: what it asks meanwhile is passed over."""

    async def begin(self, message: ConnectionInit) -> None:
        """Admit and acknowledge the socket, or close it. Raises SocketGone."""
        self.begun = True
        began = self._door.clock.monotonic()
        try:
            token = connection_token(message.payload)
            await self._door.verifier.fetch_key(token)  # before the gate: an issuer that is slow holds up nobody else
            async with self._door.handshakes.place():
                caller = await self._door.verifier.verify(token, Door.SOCKET)
                await self._door.connections.claim(caller)
                self._admit(caller)
        except TokenRefused as refusal:
            self._socket.close(Ending.REFUSED, str(refusal))
            return
        except Unavailable as refusal:
            # Clients that are closed before the ack take it as final, some of them: so first the ack.
            await self._turn_away(refusal)
            return
        # From the admission to here nothing else could run, so that a drain never closes before the ack.
        await self._socket.say({"type": "connection_ack"})
        self._door.metrics.handshake_seconds.observe(self._door.clock.monotonic() - began)

    async def answer(self, ping: Ping) -> None:
        """Echo the payload. A token in it, though, is taken in place of the present one, and never echoed."""
        try:
            token = renewing_token(ping.payload)
            payload = ping.payload if token is None else {"tokenExpiresAt": await self._renewed(token)}
        except (TokenRefused, RateLimited, Unavailable) as refusal:
            payload = {"tokenRefused": str(refusal)}  # the socket goes on until its own token ends
        await self._socket.say({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})

    def close(self) -> None:
        """Its socket is closed: nothing is waited for any more."""
        if self._lifetime is not None:
            self._lifetime.stop()

    def operation_began(self) -> None:
        """It is not idle."""
        self._running += 1

    def operation_ended(self) -> None:
        """From now on it may be idle, if nothing else runs."""
        self._running -= 1
        self._last_operation = self._door.clock.monotonic()

    @property
    def idle_since(self) -> float | None:
        """On the monotonic clock; None while an operation runs."""
        return None if self._running else self._last_operation

    def close_socket(self, ending: Ending, reason: str) -> None:
        """See Living."""
        self._socket.close(ending, reason)

    def warn(self, expires_at: datetime) -> None:
        """See Living; by a ping's payload."""
        self._socket.start(self._warn(expires_at), "socket warning")

    def _admit(self, caller: Caller) -> None:
        if self._socket.closed:
            raise SocketGone
        self._door.verifier.check(caller)  # again: it may have been revoked while places were asked for
        if self._door.drain.active:
            raise Draining("This instance is going away: connect again.")
        self._door.connections.admit(self._socket, caller)
        self.context = self._door.context_factory(caller)
        self.caller = caller
        self._last_operation = self._door.clock.monotonic()
        self._live_until(caller.expires_at)

    async def _turn_away(self, refusal: Unavailable) -> None:
        await self._socket.say({"type": "connection_ack"})
        match refusal:
            case Crowded():
                self.turned_away = True
                self._door.metrics.refusals.labels("handshakes").inc()
                wait = self._door.random.random() * self._door.come_back_seconds
                self._door.timers.after(wait, partial(self._socket.close, Ending.CROWDED, str(refusal)))
            case Draining():
                self._socket.close(Ending.RESTART, str(refusal))
            case _:
                self._socket.close(Ending.TRY_LATER, str(refusal))

    async def _renewed(self, token: str) -> datetime:
        if self.caller is None or self._lifetime is None:
            raise TokenRefused("A token is renewed after the connection_ack; before, it belongs in connection_init.")
        self._door.rates.take(self.caller)
        renewed = await self._door.verifier.verify(token, Door.SOCKET)
        check_renewal(self.caller, renewed)
        if self._door.clock.now() >= self._lifetime.expires_at:
            raise TokenRefused("The token has ended: connect again with a new one.")
        self._door.connections.renew(self._socket, renewed)
        self._live_until(renewed.expires_at)
        return renewed.expires_at

    def _live_until(self, expires_at: datetime) -> None:
        if self._lifetime is not None:
            self._lifetime.stop()
        self._lifetime = Lifetime(
            self, expires_at, limits=self._door.lifetime, clock=self._door.clock, timers=self._door.timers
        )

    async def _warn(self, expires_at: datetime) -> None:
        with contextlib.suppress(SocketGone):
            await self._socket.say({"type": "ping", "payload": {"tokenExpiresAt": expires_at}})
