"""Senders that are slow, silent or send too much: bounded in bytes, time and number, before anything is served."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from http import HTTPStatus
from typing import ClassVar, Final

import msgspec
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bus.metrics import Metrics
from delivery.arrivals import Arrivals
from delivery.errors import BadRequest, HeadTooLarge, RequestRefused, RequestTooSlow, UrlTooLong, VersionRefused
from delivery.payloads import refusal_entry
from delivery.sockets import Sockets

_LINGER_SECONDS: Final = 2.0
"""For a refused sender to read why; closing while its bytes still come in would take the answer from it."""


class SenderLimits(Struct, frozen=True, kw_only=True):
    """What one connection may send before it is served, and how many connections there may be."""

    head_bytes: int = 32 * 1024
    """Request line and headers; browsers and gateways keep below 16 KiB, and our longest tokens are 2 KiB. As much may
    stand between the chunks of a body, or behind them."""
    url_bytes: int = 8 * 1024
    """What RFC 9110 wants to be possible; Covey's own URLs are short."""
    head_seconds: float = 20.0
    """A head is one packet, or a few: slower is no network, but somebody who holds connections."""
    body_seconds: float = 30.0
    """After its head, for a body that nobody reads; the HTTP door gives up sooner, and says so."""
    connections: int = 20_000
    """Of all kinds at once; more are dropped unheard, so that memory has an end."""


class _Part(StrEnum):
    """What of a request the connection is in."""

    NONE = "none"
    HEAD = "head"
    BODY = "body"
    REFUSED = "refused"
    """Told so; what still comes is thrown away."""
    UPGRADED = "upgraded"
    """The connection belongs to the WebSocket protocol now."""


_COUNTED: Final = frozenset({_Part.NONE, _Part.HEAD, _Part.BODY})
"""Of a body what is none of its bytes: what is said beside a chunk's length, and trailers."""


class SenderGuard(HttpToolsProtocol):
    """uvicorn's HTTP protocol with an end to patience.

    uvicorn's own has no limit for a head, and waits for ever for the rest of a request: only connections that are idle
    after an answer end. Also the handshake of a WebSocket comes through here.
    """

    limits: ClassVar[SenderLimits] = SenderLimits()
    metrics: ClassVar[Metrics]
    arrivals: ClassVar[Arrivals]
    sockets: ClassVar[Sockets]
    _begun = False
    """Something has come, and was taken in its turn."""
    _part = _Part.NONE
    _messages = 0
    _unfinished_bytes = 0
    _refusal: RequestRefused | None = None
    _deadline: asyncio.TimerHandle | None = None
    _awaited: tuple[int, _Part] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._count("crowded")
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        begun, self._begun = self._begun, True
        too_long_to_wait = len(data) > self.limits.head_bytes  # so that what is held has an end
        if begun or too_long_to_wait or self.arrivals.come(lambda: self._begin(data)):
            self._take(data)
        else:
            self.transport.pause_reading()

    def _begin(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self._take(data)

    def _take(self, data: bytes) -> None:
        if self._part is _Part.REFUSED:
            return
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._part in _COUNTED and self._unfinished_bytes > self.limits.head_bytes:
            self._refuse(self._head_too_large())
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._messages += 1
        self._part = _Part.HEAD

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            self._refusal = UrlTooLong(f"The URL is over the limit of {self.limits.url_bytes} bytes.")
            raise self._refusal

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part is not _Part.BODY:  # behind it come trailers, which nobody reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
        if size > self.limits.head_bytes:
            self._refusal = self._head_too_large()
            raise self._refusal
        if self.parser.should_upgrade() and not self._is_bare_get():
            # The parser takes what follows for another protocol, so that a body would be lost, or read as a request.
            self._refusal = BadRequest("`Connection: Upgrade` goes with a GET without a body: leave it out.")
            raise self._refusal
        super().on_headers_complete()
        self._part = _Part.BODY
        self._unfinished_bytes = 0

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._unfinished_bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._part = _Part.NONE
        self._unfinished_bytes = 0

    def handle_websocket_upgrade(self) -> None:
        try:
            open_socket = self.sockets.take(self.url, self.headers, self.client)
        except RequestRefused as refusal:
            self._refuse(refusal)
            return
        self._part = _Part.UPGRADED
        self.connections.discard(self)
        open_socket(self.transport, self.connections)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's words, in place of which ours go)
        """Where uvicorn goes with what its parser, or one of the hooks above, did not take."""
        self._refuse(self._refusal or BadRequest("This is no HTTP request."))

    def _is_bare_get(self) -> bool:
        announced = {value for name, value in self.headers if name in {b"content-length", b"transfer-encoding"}}
        return self.parser.get_method() == b"GET" and announced <= {b"0"}

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"Request line and headers are over the limit of {self.limits.head_bytes} bytes.")

    def _refuse(self, refusal: RequestRefused) -> None:
        self._part = _Part.REFUSED
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # in the middle of the answer to an earlier request, words would be part of it
            return
        self.transport.write(raw_answer(refusal))
        self.transport.write_eof()

    def _watch(self) -> None:
        """Have the one timer run for what is awaited now; begun anew when that is something else."""
        awaited = None if self.transport.is_closing() else self._what_is_awaited()
        if awaited == self._awaited:
            return
        self._stop_deadline()
        self._awaited = awaited
        if awaited is not None:
            self._deadline = self.loop.call_later(self._patience(awaited[1]), self._late)

    def _what_is_awaited(self) -> tuple[int, _Part] | None:
        """Of which message, by its number, which part; none while it is the server's turn."""
        if self._part is _Part.UPGRADED:
            return None
        if self._part is _Part.NONE:
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering or self.timeout_keep_alive_task is not None:
                return None
        return self._messages, self._part

    def _patience(self, part: _Part) -> float:
        if part is _Part.REFUSED:
            return _LINGER_SECONDS
        return self.limits.body_seconds if part is _Part.BODY else self.limits.head_seconds

    def _late(self) -> None:
        self._deadline = None
        if self._part is _Part.REFUSED:
            self.transport.abort()
        elif self._part is _Part.BODY and self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False  # whoever answers has the last word
        else:
            self._count("slow")
            if self._part is _Part.HEAD:
                self._refuse(RequestTooSlow("The request did not come within its time: send it faster."))
                self._watch()
            else:
                self.transport.close()

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _count(self, cause: str) -> None:
        self.metrics.closes.labels(cause=cause).inc()


def raw_answer(refusal: RequestRefused) -> bytes:
    """A whole HTTP answer, after which the connection ends; for where there is no application to answer."""
    body = msgspec.json.encode({"errors": [refusal_entry(refusal)]})
    head = (
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
        f"content-type: application/json; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
        "cache-control: no-store\r\nconnection: close\r\n"
    )
    if isinstance(refusal, VersionRefused):
        head += "sec-websocket-version: 13\r\n"  # as RFC 6455, 4.4 wants
    return f"{head}\r\n".encode() + body
