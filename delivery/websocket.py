"""A WebSocket on its transport: frames in and out, pings, slow readers, and the end.

uvicorn's own protocol over websockets' did this before; docs/decisions/0017 tells why not any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol, assert_never

from msgspec import Struct

from bus.clock import SystemClock
from bus.metrics import Metrics
from delivery.counted import TurnSum
from delivery.framing import Binary, Breach, Close, FrameReader, Opcode, Ping, Pong, Received, Text, close_payload, head
from delivery.stall import StallLimits
from delivery.timers import Timer, Timers

_CORKED_BYTES: Final = 16 * 1024
"""Then they are written at once, so that the transport can say when it has too many."""
_BEATS: Final = 100
"""Of pings in their interval: with 20,000 sockets 200 go at once, which takes two milliseconds."""
_CLOSE_SECONDS: Final = 10.0
"""For the peer to return a close."""
_RESTART: Final = 1012
_PING: Final = head(Opcode.PING, 0)
"""The same for everybody: whatever comes back shows that the peer is there."""


class SocketGone(Exception):
    """The peer has gone, or the socket was closed: nothing more can be sent."""


class Listener(Protocol):
    """Who talks on a WebSocket. Called by it, in order; what these raise ends the connection."""

    def hear(self, message: str | bytes) -> None:
        """The next message: text, or binary."""
        ...

    def leave(self) -> None:
        """The socket is gone, or the peer is about to go. Once; nothing is heard any more."""
        ...


class SocketTerms(Struct, frozen=True, kw_only=True):
    """What all WebSockets of a server have in common. See `socket_terms`."""

    metrics: Metrics
    sent_bytes: TurnSum
    timers: Timers
    stall: StallLimits = StallLimits()
    message_limit_bytes: int = 64 * 1024
    ping_seconds: float = 20.0
    pong_seconds: float = 20.0
    """For anything to come back. Browsers and libraries answer by themselves."""


def socket_terms(metrics: Metrics, *, ping_seconds: float = 20.0, **more: Any) -> SocketTerms:
    """Pings of all sockets go on a common beat: they are answered together, and wake the loop once."""
    return SocketTerms(
        metrics=metrics,
        sent_bytes=TurnSum(metrics.bytes.labels(door="socket")),
        timers=Timers(SystemClock(), grain_seconds=ping_seconds / _BEATS),
        ping_seconds=ping_seconds,
        **more,
    )


class WebSocket(asyncio.Protocol):
    """One connection. What is sent in one turn of the event loop leaves in one write, whoever sends it."""

    __slots__ = (
        "_close_timer",
        "_corked",
        "_deadline",
        "_forget",
        "_heard",
        "_left",
        "_listener",
        "_ping_timer",
        "_pinged",
        "_reader",
        "_reading",
        "_shut",
        "_terms",
        "_transport",
        "closed",
    )

    def __init__(self, terms: SocketTerms, transport: asyncio.Transport, forget: Callable[[WebSocket], None]) -> None:
        """It reads and writes once it was opened. `forget` is called when nothing of it is left."""
        self._terms = terms
        self._transport = transport
        self._forget = forget
        self._listener: Listener | None = None
        self._reader = FrameReader(terms.message_limit_bytes)
        self._corked: bytearray | None = None
        """What was sent in this turn of the loop."""
        self._shut: asyncio.Event | None = None
        """While the reader is slow; set when it is not any more."""
        self._deadline: asyncio.TimerHandle | None = None
        """For a reader that is slow."""
        self._close_timer: asyncio.TimerHandle | None = None
        self._ping_timer: Timer | None = None
        self._pinged = False
        self._heard = False
        """Since the last look."""
        self._reading = True
        self._left = False
        self.closed = False
        """Nothing is sent any more, and what still comes in does not count."""

    @property
    def left(self) -> bool:
        """The listener was told that it is over."""
        return self._left

    def await_opening(self, listener: Listener) -> None:
        """Hear nothing until it is opened, but that the socket has gone."""
        self._listener = listener
        self.pause_reading()

    def open(self, answer: bytes, listener: Listener) -> None:
        """Send the handshake's answer; from now on the listener hears."""
        self._listener = listener
        self._transport.write(answer)
        self.resume_reading()
        self._look_in(self._terms.ping_seconds)

    async def send(self, message: bytes) -> None:
        """One text message; waits while the reader is slow. Raises SocketGone."""
        while self._shut is not None:  # it may be shut again before the waiter's turn
            await self._shut.wait()
        if self.closed:
            raise SocketGone
        self._terms.sent_bytes.add(len(message))
        self._cork(head(Opcode.TEXT, len(message)), message)

    async def send_binary(self, message: bytes) -> None:
        """The same for a binary one."""
        while self._shut is not None:
            await self._shut.wait()
        if self.closed:
            raise SocketGone
        self._cork(head(Opcode.BINARY, len(message)), message)

    def close(self, code: int, reason: str) -> None:
        """Say so and let the peer return it; one that does not, or reads nothing, is dropped. Again changes nothing."""
        if self.closed:
            return
        self._send_close(close_payload(code, reason))
        self.resume_reading()
        loop = asyncio.get_running_loop()
        self._close_timer = loop.call_later(_CLOSE_SECONDS, self._hang_up)
        self._start_deadline()

    def pause_reading(self) -> None:
        """Take nothing more in until told: the listener has enough."""
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def shutdown(self) -> None:
        """uvicorn's word for: end it now."""
        if not self.closed:
            self._send_close(close_payload(_RESTART, ""))
        self._hang_up()

    def done(self) -> None:
        """The listener has nothing left that runs."""
        self._forget(self)

    # What the transport calls:

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._transport.is_closing():
            return
        try:
            for received in self._reader.read(data):
                self._take(received)
                if self._transport.is_closing():  # nothing counts behind a close
                    return
        except Breach as breach:
            if not self.closed:
                self._send_close(close_payload(breach.code, breach.reason))
            self._hang_up()

    def eof_received(self) -> None:
        """The transport closes by itself, after what it was given."""
        self._uncork()

    def pause_writing(self) -> None:
        if self._shut is None:
            self._shut = asyncio.Event()
            self._terms.metrics.paused.inc()
        self._start_deadline()

    def resume_writing(self) -> None:
        self._go_on()
        if not self.closed:  # else it has to be gone by then
            self._stop_deadline()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's)
        self.closed = True
        self._terms.timers.cancel(self._ping_timer)
        self._stop_deadline()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._corked = None
        self._go_on()
        self._leave()

    def _take(self, received: Received) -> None:
        match received:
            case Text(message) | Binary(message):
                if self._listener is not None and not self.closed:
                    self._listener.hear(message)
            case Ping(payload):
                # Not for a reader that is slow: it would fill the buffer with answers that it does not read.
                if self._shut is None and not self.closed:
                    self._cork(head(Opcode.PONG, len(payload)), payload)
            case Pong():
                pass
            case Close(payload):
                if not self.closed:
                    self._send_close(payload)
                self._hang_up()
            case _:
                assert_never(received)

    def _cork(self, first: bytes, second: bytes) -> None:
        corked = self._corked
        if corked is None:
            corked = self._corked = bytearray()
            asyncio.get_running_loop().call_soon(self._uncork)
        corked += first
        corked += second
        if len(corked) > _CORKED_BYTES:
            self._uncork()

    def _uncork(self) -> None:
        corked, self._corked = self._corked, None
        if corked and not self._transport.is_closing():
            self._transport.write(corked)

    def _send_close(self, payload: bytes) -> None:
        self._cork(head(Opcode.CLOSE, len(payload)), payload)
        self.closed = True
        self._uncork()
        self._go_on()

    def _hang_up(self) -> None:
        """Close below, too: when what was written is read, or the deadline has come."""
        self._uncork()
        self._transport.close()
        if self._deadline is None:
            self._start_deadline()
        self._leave()

    def _leave(self) -> None:
        if self._left:
            return
        self._left = True
        listener, self._listener = self._listener, None
        if listener is None:
            self.done()
        else:
            listener.leave()

    def _look_in(self, seconds: float) -> None:
        self._ping_timer = self._terms.timers.after(seconds, self._look)

    def _look(self) -> None:
        """Ping the peer, and drop it where nothing at all came since the last one: whatever comes shows it is there."""
        if self.closed:
            return
        if self._pinged:
            if not self._heard:
                self._drop("silent")
                return
            self._pinged = False
            if (rest := self._terms.ping_seconds - self._terms.pong_seconds) > 0:
                self._look_in(rest)
                return
        self._pinged, self._heard = True, False
        self._transport.write(_PING)
        self._look_in(self._terms.pong_seconds)

    def _go_on(self) -> None:
        if self._shut is not None:
            self._shut.set()
            self._shut = None
            self._terms.metrics.paused.dec()

    def _start_deadline(self) -> None:
        self._stop_deadline()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._terms.stall.write_deadline_seconds, self._drop, "stalled")

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _drop(self, cause: str) -> None:
        """No close code can reach such a peer; official clients come back from this, as they do not from 1011."""
        self._terms.metrics.closes.labels(cause=cause).inc()
        self._transport.abort()
