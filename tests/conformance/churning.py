"""Clients that come and go: each visit ends in one of the ways in which real ones do."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Final

from tests.conformance.wire import Closed, Opcode, Wire, close_payload, framed, wire

_MEMBERS: Final = 200
_MINE: Final = "subscription ($member: ID) { memberEvents(memberId: $member) { __typename } }"
_PAYERS: Final = "subscription { payerEvents { __typename } }"
_NOBODYS: Final = 'subscription { coverageRequestEvents(requestId: "none") { __typename } }'


class Churn:
    """`visits` of many members, some of them at once, in an order that the seed tells."""

    def __init__(self, port: int, token: Callable[[str | None], str], seed: int) -> None:
        self._port = port
        self._random = Random(seed)
        self._tokens = [token(f"m-{number}") for number in range(_MEMBERS)]
        self.ends = Counter[str]()
        """How many visits of each kind there were; `refused` for those that were not let in."""

    async def run(self, visits: int, at_once: int) -> None:
        """Returns when all are over. Raises AssertionError where the server said what it should not."""
        left = iter(range(visits))

        async def come_and_go() -> None:
            for _ in left:
                await self._visit()

        await asyncio.gather(*(come_and_go() for _ in range(at_once)))

    async def _visit(self) -> None:
        kind = self._random.choice(_KINDS)
        number = self._random.randrange(_MEMBERS)
        # Addresses of loopback in turns: else the ports for so many connections would run out.
        address = f"127.0.{1 + self._random.randrange(8)}.{1 + self._random.randrange(250)}"
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))
        try:
            if isinstance(kind, str):
                await _stream(reader, writer, kind, self._tokens[number])
            else:
                async with wire(self._port, streams=(reader, writer)) as talk:
                    await kind(talk, self._tokens[number], f"m-{number}")
            self.ends[kind.__name__ if callable(kind) else kind] += 1
        except NotLetIn:
            self.ends["refused"] += 1
        finally:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()


class NotLetIn(Exception):
    """The server has all the clients it takes."""


async def cut_after_the_handshake(talk: Wire, token: str, member: str) -> None:
    """Somebody who never says a word."""


async def cut_before_the_ack(talk: Wire, token: str, member: str) -> None:
    """Says who it is, and is gone."""
    await talk.say({"type": "connection_init", "payload": {"authToken": token}})


async def refused(talk: Wire, token: str, member: str) -> None:
    """Has no token."""
    await talk.say({"type": "connection_init", "payload": {"authToken": "none"}})
    assert (await talk.closed()).code in {4403, 1013}


async def broken(talk: Wire, token: str, member: str) -> None:
    """Breaks the protocol below while it follows."""
    await _follow(talk, token, member)
    await talk.write(framed(Opcode.TEXT, b"\xff" * 8))
    assert (await talk.closed()).code == 1007


async def malformed(talk: Wire, token: str, member: str) -> None:
    """Breaks graphql-transport-ws while it follows."""
    await _follow(talk, token, member)
    await talk.say("no message")
    assert (await talk.closed()).code == 4400


async def cut_while_following(talk: Wire, token: str, member: str) -> None:
    """The usual end of a phone."""
    await _follow(talk, token, member)


async def cut_before_the_first_item(talk: Wire, token: str, member: str) -> None:
    """Gone while its history is read."""
    await _let_in(talk, token)
    await talk.say(_subscribe("1", _MINE, member))


async def closed_while_following(talk: Wire, token: str, member: str) -> None:
    """The usual end of a browser's page."""
    await _follow(talk, token, member)
    await talk.write(framed(Opcode.CLOSE, close_payload(1001)))
    assert (await talk.closed()).code == 1001


async def completed(talk: Wire, token: str, member: str) -> None:
    """Follows three streams, stops two, and goes."""
    await _let_in(talk, token)
    for number, query in enumerate((_MINE, _PAYERS, _NOBODYS)):
        await talk.say(_subscribe(str(number), query, member))
    for number in range(2):
        await talk.say({"type": "complete", "id": str(number)})
    await talk.say({"type": "ping", "payload": {"end": True}})
    while (heard := await talk.hear()) != {"type": "pong", "payload": {"end": True}}:
        assert not isinstance(heard, Closed), heard


async def asked(talk: Wire, token: str, member: str) -> None:
    """One query."""
    await _let_in(talk, token)
    await talk.say(_subscribe("1", "{ me { id } }", member))
    heard = await talk.hear()
    assert not isinstance(heard, Closed) and heard["type"] in {"next", "error"}, heard


_OVER_HTTP: Final[Sequence[str]] = ("text/event-stream", "multipart/mixed")
_KINDS: Final[Sequence[Callable[[Wire, str, str], Awaitable[None]] | str]] = (
    *(cut_after_the_handshake, cut_before_the_ack, refused, broken, malformed, cut_while_following),
    *(cut_before_the_first_item, closed_while_following, completed, asked),
    *_OVER_HTTP,
)


def _subscribe(operation_id: str, query: str, member: str) -> dict[str, object]:
    variables = {"member": member} if "$member" in query else {}
    return {"id": operation_id, "type": "subscribe", "payload": {"query": query, "variables": variables}}


async def _let_in(talk: Wire, token: str) -> None:
    await talk.say({"type": "connection_init", "payload": {"authToken": token}})
    heard = await talk.hear()
    if heard != {"type": "connection_ack"}:
        assert isinstance(heard, Closed) and heard.code in {1012, 1013}, heard
        raise NotLetIn


async def _follow(talk: Wire, token: str, member: str) -> None:
    await _let_in(talk, token)
    await talk.say(_subscribe("1", _MINE, member))
    heard = await talk.hear()
    if isinstance(heard, Closed) or heard["type"] == "error":
        raise NotLetIn
    assert heard["type"] == "next", heard


async def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, accept: str, token: str) -> None:
    """Follow over HTTP, and be cut with the answer on its way or begun."""
    if accept == "multipart/mixed":
        accept += ';subscriptionSpec="1.0"'
    body = json.dumps({"query": _PAYERS}).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 ")
