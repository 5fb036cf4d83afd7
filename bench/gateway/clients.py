"""Many sockets in one process, each of which checks that it gets exactly its events."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import time
from dataclasses import dataclass, field
from typing import Final, cast

from bench.gateway.events import DOCUMENT, member

_EVENT: Final = re.compile(rb'"id":"e-(\d+)-(\d+)"')
_STARTED: Final = "started"


@dataclass
class Tally:
    """What all sockets of a run got."""

    delivered: int = 0
    expected: int = 0
    last: float = 0.0
    wrong: list[str] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self, deliveries: int) -> None:
        self.expected += deliveries
        self.done.clear()

    def got(self, count: int) -> None:
        self.delivered += count
        if self.delivered >= self.expected:
            self.last = time.perf_counter()
            self.done.set()


class Client(asyncio.Protocol):
    """One socket that follows one member. Frames are taken apart by hand: the client must cost less than the server."""

    def __init__(self, number: int, token: str | None, tally: Tally) -> None:
        self._number = number
        self._token = token
        self._tally = tally
        self._buffer = b""
        self._next = 0
        self._open = False
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

    def close(self) -> None:
        self._transport.abort()

    def _read(self) -> None:
        buffer, at, events = self._buffer, 0, 0
        while len(buffer) - at >= 2:
            length, start = buffer[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            end = start + length
            if len(buffer) < end:
                break
            if buffer[at] & 15 == 1:
                found = _EVENT.search(buffer, start, end)
                if found is None:
                    self._control(buffer[start:end])
                else:
                    events += 1
                    if int(found[1]) != self._number or int(found[2]) != self._next:
                        self._tally.wrong.append(f"{found[0].decode()} instead of {self._number}-{self._next}")
                    self._next += 1
            elif buffer[at] & 15 == 8:
                self._tally.wrong.append(f"closed: {buffer[start:end]!r}")
            at = end
        self._buffer = buffer[at:]
        if events:
            self._tally.got(events)

    def _control(self, text: bytes) -> None:
        message = json.loads(text)
        if message["type"] == "connection_ack":
            payload = {"query": DOCUMENT, "variables": {"member": member(self._number)}}
            self._say({"id": "1", "type": "subscribe", "payload": payload})
        elif message["type"] == "next" and not self.following.done():
            self.following.set_result(None)
        elif message["type"] not in {"next", "ping"}:
            self._tally.wrong.append(text[:200].decode())

    def _say(self, message: object) -> None:
        text = json.dumps(message).encode()
        head = bytes([0x81, 0x80 | len(text)]) if len(text) < 126 else b"\x81\xfe" + len(text).to_bytes(2, "big")
        self._transport.write(head + b"\0\0\0\0" + text)  # masked with zeros: the text stays as it is


async def follow(port: int, numbers: list[int], token: str | None, tally: Tally) -> list[Client]:
    """As many sockets, each following the member of its number."""
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for first in range(0, len(numbers), 50):
        some = [Client(number, token, tally) for number in numbers[first : first + 50]]
        for client in some:
            await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc] # its own
        async with asyncio.timeout(60):
            await asyncio.gather(*(client.following for client in some))
        clients += some
    return clients
