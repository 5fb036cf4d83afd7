"""Many sockets in one process, each of which checks that it gets exactly its events."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import socket
from collections.abc import Sequence
from typing import Final, cast

from bench.gateway.events import DOCUMENT, RESUMING, member
from bench.gateway.tally import Tally

_EVENT: Final = re.compile(rb'"id":"e-(\d+)-(\d+)"')
_CURSOR: Final = re.compile(rb'"cursor":"([^"]+)"')
_TEXT, _CLOSE, _PING = 1, 8, 9
_JOIN_SECONDS: Final = 120.0
STALLED_RECEIVE_BYTES: Final = 4096
"""Of the kernel, for a socket that is to read nothing."""


class Client(asyncio.Protocol):
    """One socket that follows one member. Frames are taken apart by hand: the client must cost less than the server."""

    def __init__(
        self, number: int, token: str | None, tally: Tally, *, after: str | None = None, seen: int = 0
    ) -> None:
        """`seen` events of the member are known already; `after` is the cursor of the last of them."""
        self._number = number
        self._token = token
        self._tally = tally
        self._after = after
        self._buffer = b""
        self._last = b""
        self._open = False
        self.seen = seen
        self.following: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            "GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self._tally.wrong.append(head[:80].decode())
            self._open, self._buffer = True, rest
            self._say({"type": "connection_init", "payload": {"authToken": self._token} if self._token else {}})
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.following.done():
            self.following.set_exception(exc or ConnectionResetError("closed before it followed"))

    def close(self) -> None:
        """Without a word."""
        self._transport.abort()

    def resumed(self) -> Client:
        """Another socket that goes on where this one was cut off."""
        found = _CURSOR.search(self._last)
        assert found is not None, "the first that comes is a Checkpoint"
        return Client(self._number, self._token, self._tally, after=found[1].decode(), seen=self.seen)

    def anew(self) -> Client:
        """Another socket that follows the member from now on."""
        return Client(self._number, self._token, self._tally, seen=self.seen)

    def stall(self) -> None:
        """Read nothing from here on."""
        self._transport.pause_reading()

    def _read(self) -> None:
        buffer, at = self._buffer, 0
        arrived: list[int] = []
        while len(buffer) - at >= 2:
            length, start = buffer[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            end = start + length
            if len(buffer) < end:
                break
            kind = buffer[at] & 15
            if kind == _TEXT:
                found = _EVENT.search(buffer, start, end)
                if found is None:
                    self._control(buffer[start:end])
                else:
                    self._event(int(found[1]), int(found[2]), arrived)
                    self._last = buffer[start:end]
            elif kind == _CLOSE:
                self._tally.wrong.append(f"closed: {buffer[start:end]!r}")
            elif kind == _PING:
                self._frame(b"\x8a", buffer[start:end])
            at = end
        self._buffer = buffer[at:]
        if arrived:
            self._tally.got(self._number, arrived)

    def _event(self, number: int, index: int, arrived: list[int]) -> None:
        if number != self._number:
            self._tally.wrong.append(f"{number}-{index} to a follower of {self._number}")
        elif index < self.seen:
            self._tally.repeated += 1
        else:
            self._tally.lost += index - self.seen
            self.seen = index + 1
            arrived.append(index)

    def _control(self, text: bytes) -> None:
        message = json.loads(text)
        if message["type"] == "connection_ack":
            self._subscribe("1", self._number, self._after)
        elif message["type"] == "next":
            if b'"Gap"' in text:
                self._tally.wrong.append(text[:200].decode())
            self._last = text
            if not self.following.done():
                self.following.set_result(None)
        elif message["type"] != "ping":
            self._tally.wrong.append(text[:200].decode())

    def _subscribe(self, operation_id: str, number: int, after: str | None) -> None:
        variables = {"member": member(number)} if after is None else {"member": member(number), "after": after}
        payload = {"query": DOCUMENT if after is None else RESUMING, "variables": variables}
        self._say({"id": operation_id, "type": "subscribe", "payload": payload})

    def _say(self, message: object) -> None:
        self._frame(b"\x81", json.dumps(message).encode())

    def _frame(self, kind: bytes, data: bytes) -> None:
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        self._transport.write(kind + length + b"\0\0\0\0" + data)  # masked with zeros: the text stays as it is


async def follow(
    port: int, numbers: Sequence[int], token: str | None, tally: Tally, *, at_once: int = 50
) -> list[Client]:
    """As many sockets, each following the member of its number."""
    clients = [Client(number, token, tally) for number in numbers]
    await connect(port, clients, at_once=at_once)
    return clients


async def connect(port: int, clients: Sequence[Client], *, at_once: int) -> None:
    """Connect them, so many at a time, until all of them follow."""
    loop = asyncio.get_running_loop()
    places = asyncio.Semaphore(at_once)

    async def one(client: Client) -> None:
        async with places:
            await loop.create_connection(lambda: client, "127.0.0.1", port)
            await client.following

    async with asyncio.timeout(_JOIN_SECONDS), asyncio.TaskGroup() as joining:
        for client in clients:
            joining.create_task(one(client))


async def connect_stalling(port: int, client: Client) -> None:
    """Connect one whose kernel takes little, so that it is felt at once when it stops reading."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_RECEIVE_BYTES)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", port))
    await loop.create_connection(lambda: client, sock=raw)
    await client.following
