"""A WebSocket connection at rest: what uvicorn and websockets keep of it that nobody asks for any more, or that costs
more than it holds. Thirteen of the fifty kilobytes of an idle socket were such."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import Protocol

_END_OF_HEAD: Final = b"\r\n\r\n"
_BEATS: Final = 100
"""Of pings in their interval: with 20,000 sockets 200 go at once, which takes four milliseconds."""


class Inbox:
    """What the application has not received yet; as much of `asyncio.Queue` as uvicorn uses, which holds four deques of
    700 bytes each, empty. One receiver."""

    __slots__ = ("_messages", "_receiver")

    def __init__(self) -> None:
        self._messages: list[Mapping[str, Any]] = []
        """Few: reading pauses while there is one."""
        self._receiver: asyncio.Future[None] | None = None

    def put_nowait(self, message: Mapping[str, Any]) -> None:
        self._messages.append(message)
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)

    async def get(self) -> Mapping[str, Any]:
        while not self._messages:
            self._receiver = asyncio.get_running_loop().create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None
        return self._messages.pop(0)

    def empty(self) -> bool:
        return not self._messages


class Passage:
    """As `asyncio.Event`, set at first, which exists only while it is not: that is, while a reader is slow."""

    __slots__ = ("_shut",)

    def __init__(self) -> None:
        self._shut: asyncio.Event | None = None

    def is_set(self) -> bool:
        return self._shut is None

    def set(self) -> None:
        if self._shut is not None:
            self._shut.set()
            self._shut = None

    def clear(self) -> None:
        if self._shut is None:
            self._shut = asyncio.Event()

    async def wait(self) -> None:
        while self._shut is not None:  # it may have been shut again before the waiter's turn
            await self._shut.wait()


class LeanConnection(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, which forgets the handshake once it is over."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue = Inbox()  # type: ignore[assignment] # as much of one as is used
        self.writable = Passage()  # type: ignore[assignment] # as above

    def data_received(self, data: bytes) -> None:
        first = not self.handshake_initiated
        super().data_received(data)
        if first and self.handshake_initiated and not self.close_sent and data.endswith(_END_OF_HEAD):
            # The parser of the head keeps it for ever. Nothing came behind it, so that another can go on from here.
            self.conn.parser = Protocol.parse(self.conn)
            next(self.conn.parser)
            del self.request

    def schedule_ping(self) -> None:
        """As uvicorn's, on a common beat: pings that go together are answered together, and wake the loop once."""
        assert self.ping_interval is not None  # noqa: S101 (as uvicorn's)
        beat = self.ping_interval / _BEATS
        now = self.loop.time()
        due = (now + max(0.0, self.ping_interval - self.last_ping_rtt)) // beat * beat
        self.ping_timer = self.loop.call_later(max(0.0, due - now), self.send_keepalive_ping)

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept":
            self.scope["headers"] = []
            del self.response
