"""Readers that stopped reading: cut off after a while, and until then bounded in what they hold."""

from __future__ import annotations

import asyncio
import socket
from asyncio.transports import BaseTransport
from typing import ClassVar

from msgspec import Struct
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from bus.metrics import Metrics
from delivery.corked import CorkedWriting
from delivery.errors import BadRequest
from delivery.senders import raw_answer


class StallLimits(Struct, frozen=True, kw_only=True):
    """How much a reader may leave unread, and for how long."""

    write_deadline_seconds: float = 30.0
    buffer_bytes: int = 32 * 1024
    """In the process, before senders wait."""
    kernel_buffer_bytes: int = 64 * 1024
    """In the kernel, which else grows to megabytes a socket; Linux doubles the figure for its own needs."""


class _ClosableMidMessage(ServerProtocol):
    """A close may come between the pieces of a message (RFC 6455, section 5.4); websockets takes that for a breach."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class StallGuard(CorkedWriting):
    """uvicorn's WebSocket protocol with an end to waiting.

    uvicorn's own waits for ever: a sender for a reader that stalls, and a close (also that after a missing pong) for
    the buffer to be flushed. No close code can reach such a reader, so the connection is simply dropped; official
    clients come back from that, as they do not from 1011.
    """

    limits: ClassVar[StallLimits] = StallLimits()
    metrics: ClassVar[Metrics]
    _deadline: asyncio.TimerHandle | None = None
    _paused = False

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.conn.__class__ = _ClosableMidMessage  # uvicorn makes it, of the class that it knows
        self.transport.set_write_buffer_limits(high=self.limits.buffer_bytes)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.limits.kernel_buffer_bytes)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:  # uvicorn would never answer
            self.transport.write(raw_answer(BadRequest("This is no WebSocket handshake: its headers cannot be read.")))
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._paused:
            self._paused = True
            self.metrics.paused.inc()
        self._start_deadline()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()
        self._stop_deadline()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The conversation is over: what is not flushed by the deadline never will be."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._start_deadline()

    def keepalive_timeout(self) -> None:
        """No pong came in time."""
        self.pong_timer = None
        self._drop("silent")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        self._go_on()
        super().connection_lost(exc)

    def _go_on(self) -> None:
        if self._paused:
            self._paused = False
            self.metrics.paused.dec()

    def _start_deadline(self) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(self.limits.write_deadline_seconds, self._drop, "stalled")

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _drop(self, cause: str) -> None:
        self.metrics.closes.labels(cause=cause).inc()
        self.transport.abort()


def stall_guard(limits: StallLimits, metrics: Metrics) -> type[StallGuard]:
    """The protocol class for `uvicorn.Config(ws=...)`, which takes a class and makes one object a connection."""
    return type("StallGuard", (StallGuard,), {"limits": limits, "metrics": metrics})
