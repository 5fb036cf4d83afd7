"""WebSocket frames joined into few writes: what is sent in one turn of the event loop leaves in one system call."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.utils import ClientDisconnected
from websockets.exceptions import InvalidState

from delivery.lean import LeanConnection

_CORKED_BYTES: Final = 16 * 1024
"""Then they are written at once, so that the transport can say when it has too many."""


class CorkedWriting(LeanConnection):
    """uvicorn's WebSocket protocol, which else makes a system call for every frame: two thirds of a delivery's cost."""

    _corked: bytearray | None = None

    async def send(self, message: Any) -> None:
        if message["type"] != "websocket.send" or not self.handshake_complete or self.close_sent:
            self.uncork()
            await super().send(message)
            return
        await self.writable.wait()
        if self.disconnected:
            raise ClientDisconnected
        text = message.get("text")
        try:
            if text is None:
                self.conn.send_binary(message.get("bytes") or b"")
            else:
                self.conn.send_text(text.encode())
        except InvalidState as error:
            raise ClientDisconnected from error
        corked = self._corked
        if corked is None:
            corked = self._corked = bytearray()
            self.loop.call_soon(self.uncork)
        for part in self.conn.data_to_send():
            corked += part
        if len(corked) > _CORKED_BYTES:
            self.uncork()

    def data_received(self, data: bytes) -> None:
        self.uncork()  # what it is answered with comes after what was sent before
        super().data_received(data)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        self.uncork()
        super().on_task_complete(task)

    def shutdown(self) -> None:
        self.uncork()
        super().shutdown()

    def uncork(self) -> None:
        """Hand on what was sent so far."""
        corked, self._corked = self._corked, None
        if corked and not self.transport.is_closing():
            self.transport.write(corked)
