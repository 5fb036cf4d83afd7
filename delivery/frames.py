"""One socket's frames: text in, text out, one at a time, and how it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import msgspec
from starlette.types import Receive, Send
from strawberry.http.async_base_view import AsyncWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected

from bus.metrics import Metrics
from delivery.endings import Ending
from delivery.errors import MessageMalformed
from delivery.messages import ClientMessage, read_message

_REASON_BYTES: Final = 123
"""What RFC 6455 leaves for a reason in a close frame."""


class Frames(AsyncWebSocketAdapter):
    """Reads and writes ASGI's WebSocket messages.

    There is no queue of outgoing frames: whoever sends waits until the server takes the frame, and senders wait for
    each other, so that what a slow reader holds in memory is the transport's small buffer and one frame.
    """

    def __init__(self, receive: Receive, send: Send, metrics: Metrics) -> None:
        self._receive = receive
        self._send = send
        self._metrics = metrics
        self._sending = asyncio.Lock()
        self.closed = False
        """This side has closed: nothing is sent any more, and what still comes in does not count."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[ClientMessage, None]:  # noqa: ARG002 (Strawberry's signature)
        """The client's messages until the socket is gone. Raises MessageMalformed."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            if self.closed:
                continue
            text = message.get("text")
            if text is None:
                raise MessageMalformed("Malformed message: binary")
            del message  # nothing of it is held while the next one is waited for, which may be for ever
            yield read_message(text)
            del text

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send one message, when those before it are sent. Raises WebSocketDisconnected."""
        await self.send_text(msgspec.json.encode(message))

    async def send_text(self, encoded: bytes) -> None:
        """The same for a message that is JSON already."""
        text = encoded.decode()
        async with self._sending:
            if self.closed:
                raise WebSocketDisconnected
            try:
                await self._send({"type": "websocket.send", "text": text})
            except (OSError, RuntimeError) as error:  # gone, or closed by the server below us (1009, no pong)
                raise WebSocketDisconnected from error

    async def end(self, ending: Ending, reason: str) -> None:
        """Close for this cause. Again changes nothing; a peer that is gone already is no error."""
        if self.closed:
            return
        self._metrics.closes.labels(cause=ending.cause).inc()
        await self.close(ending.code, reason)

    async def close(self, code: int, reason: str) -> None:
        self.closed = True
        fitting = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": fitting})
        except (OSError, RuntimeError):
            return
