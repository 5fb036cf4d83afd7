"""A WebSocket client that no rule holds: its frames go over TCP as a test words them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from enum import IntEnum
from typing import Any, Final, NamedTuple

SUBPROTOCOL: Final = "graphql-transport-ws"
_PATIENCE_SECONDS: Final = 20
"""How long a broken test hangs."""


class Opcode(IntEnum):
    """RFC 6455, 5.2; the values between are reserved."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Frame(NamedTuple):
    """A frame of the server's; those of one message may be several."""

    opcode: int
    payload: bytes
    final: bool = True


class Closed(NamedTuple):
    """How the server ended it: 1005 for a close frame without a code, 1006 for none at all."""

    code: int
    reason: str = ""


def framed(opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """One frame, the mask's four bytes all zero; `reserved` are the three bits behind `final`."""
    first = final << 7 | reserved << 4 | opcode
    length = len(payload)
    announced = length if length < 126 else 126 if length < 65_536 else 127
    wide = length.to_bytes(2 if announced == 126 else 8, "big") if announced > 125 else b""
    return bytes([first, masked << 7 | announced]) + wide + (bytes(4) if masked else b"") + payload


def close_payload(code: int, reason: str = "") -> bytes:
    """What a close frame carries."""
    return code.to_bytes(2, "big") + reason.encode()


class Wire:
    """One connection after its handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
        self._reader = reader
        self._writer = writer
        self.headers = headers
        """Of the server's answer, by lower-case name."""

    async def write(self, data: bytes) -> None:
        """These bytes, frames or not. A server that is gone already is no error, reading tells; nor is `finish`."""
        with suppress(ConnectionError, RuntimeError):
            self._writer.write(data)
            await self._writer.drain()

    async def say(self, message: object) -> None:
        """One message as JSON; text and bytes go as they are."""
        if isinstance(message, bytes):
            await self.write(framed(Opcode.BINARY, message))
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            await self.write(framed(Opcode.TEXT, text.encode()))

    async def frame(self) -> Frame | Closed:
        """The next frame; the end, if there is none."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                first, second = await self._reader.readexactly(2)
                wide = {126: 2, 127: 8}.get(second, 0)
                length = int.from_bytes(await self._reader.readexactly(wide), "big") if wide else second
                payload = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return Closed(1006)
        if (opcode := first & 15) != Opcode.CLOSE:
            return Frame(opcode, payload, bool(first >> 7))
        await self.write(framed(Opcode.CLOSE, payload))  # without which the server waits for it, 10 s
        return Closed(int.from_bytes(payload[:2], "big"), payload[2:].decode()) if payload else Closed(1005)

    async def hear(self) -> dict[str, Any] | Closed:
        """The next message; WebSocket's own pings are answered and passed over."""
        while True:
            frame = await self.frame()
            if isinstance(frame, Closed):
                return frame
            if frame.opcode == Opcode.PING:
                await self.write(framed(Opcode.PONG, frame.payload))
            if frame.opcode == Opcode.TEXT:
                message: dict[str, Any] = json.loads(frame.payload)
                return message

    async def closed(self) -> Closed:
        """How it ends, whatever comes before."""
        while not isinstance(end := await self.frame(), Closed):
            pass
        return end

    async def dropped(self) -> bool:
        """Whether the server ends the connection below, too."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            with suppress(ConnectionError):
                while await self._reader.read(65_536):
                    pass
        return True

    async def finish(self) -> None:
        """Have nothing more to say; what the server says is still to be heard."""
        with suppress(OSError, RuntimeError):
            self._writer.write_eof()

    async def init(self, token: str) -> None:
        """Say who calls, and hear the ack."""
        await self.say({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
        assert await self.hear() == {"type": "connection_ack"}

    def cut(self) -> None:
        """End it at once and unsaid, with a reset where bytes are on the way."""
        self._writer.transport.abort()


@asynccontextmanager
async def wire(
    port: int,
    subprotocols: Sequence[str] = (SUBPROTOCOL,),
    *,
    extensions: str | None = None,
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None,
) -> AsyncIterator[Wire]:
    """A connection to `/graphql` whose handshake was accepted, over TCP's `streams` if they are given.

    Cut at the end unless that came before.
    """
    offers = {"Protocol": ", ".join(subprotocols), "Extensions": extensions}
    reader, writer = streams or await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer, await _shaken(reader, writer, port, offers))
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _shaken(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, offers: Mapping[str, str | None]
) -> dict[str, str]:
    offered = "".join(f"Sec-WebSocket-{name}: {value}\r\n" for name, value in offers.items() if value)
    writer.write(
        f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
        f"{offered}\r\n".encode()
    )
    async with asyncio.timeout(_PATIENCE_SECONDS):
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    assert " 101 " in status, status
    pairs = (line.partition(":") for line in lines if line)
    return {name.lower(): value.strip() for name, _, value in pairs}
