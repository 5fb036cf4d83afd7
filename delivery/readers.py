"""Readers of HTTP answers that stopped reading: cut off after a while, and until then bounded in what they hold."""

from __future__ import annotations

import asyncio
import socket
from typing import ClassVar, Final

from starlette.types import Scope

from bus.metrics import Metrics
from delivery.arrivals import Arrivals
from delivery.senders import SenderGuard, SenderLimits
from delivery.sockets import Sockets
from delivery.stall import StallLimits, bound_buffers

_HANG_UP: Final = "covey.hang_up"


class AnswerGuard(SenderGuard):
    """SenderGuard, with an end to waiting for whoever reads the answer.

    Streams over HTTP have no pings: a peer that has gone without a word is told by what it leaves unacknowledged, which
    Linux watches for us.
    """

    stall: ClassVar[StallLimits] = StallLimits()
    _flush_deadline: asyncio.TimerHandle | None = None
    _paused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        bound_buffers(transport, self.stall)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            raw = transport.get_extra_info("socket")
            milliseconds = int(self.stall.write_deadline_seconds * 1000)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.scope.setdefault("extensions", {})[_HANG_UP] = {"call": self._hang_up}

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._paused:
            self._paused = True
            self.metrics.paused.inc()
        self._start_flush_deadline()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()
        self._stop_flush_deadline()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._start_flush_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, TimeoutError):
            self._count("silent")
        super().connection_lost(exc)
        self._go_on()
        self._stop_flush_deadline()

    def _go_on(self) -> None:
        if self._paused:
            self._paused = False
            self.metrics.paused.dec()

    def _hang_up(self) -> None:
        self.transport.close()
        self._start_flush_deadline()

    def _start_flush_deadline(self) -> None:
        self._stop_flush_deadline()
        self._flush_deadline = self.loop.call_later(self.stall.write_deadline_seconds, self._drop)

    def _stop_flush_deadline(self) -> None:
        if self._flush_deadline is not None:
            self._flush_deadline.cancel()
            self._flush_deadline = None

    def _drop(self) -> None:
        self._count("stalled")
        self.transport.abort()


def answer_guard(senders: SenderLimits, stall: StallLimits, metrics: Metrics, sockets: Sockets) -> type[AnswerGuard]:
    """The protocol class for `uvicorn.Config(http=...)`, which takes a class and makes one object a connection."""
    parts = {"limits": senders, "stall": stall, "metrics": metrics, "arrivals": Arrivals(), "sockets": sockets}
    return type("AnswerGuard", (AnswerGuard,), parts)


def hang_up(scope: Scope) -> None:
    """Close the connection in the middle of its answer, after what was written: the client sees it break."""
    scope["extensions"][_HANG_UP]["call"]()
