"""Clients that send what `Hostility` draws, and look what is said to it.

A case passes if it is answered, refused or closed in the contract's words. What is said never tells of the inside: no
stack, path, class or library; and a person's name that stands in a value is not repeated.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Final

import httpx
from msgspec.json import encode

from tests.conformance.hostility import NAME, Hostility
from tests.conformance.wire import Closed, Opcode, Wire, framed, wire

_INSIDE: Final = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|/(?:usr|root|home|opt)/|object at|<class|NoneType"
    r"|\b\w+(?:Error|Exception)\b"
    r"|(?i:msgspec|uvicorn|starlette|strawberry|graphql.core|asyncio|websockets|uvloop|httptools|pydantic|sqlite)"
)
_CODES: Final = {"BAD_USER_INPUT", "FORBIDDEN", "NOT_FOUND", "QUERY_TOO_COMPLEX", "RATE_LIMITED"}
_CLOSES: Final = {1007, 1009, 4400, 4409, 4429}
"""Of a socket whose frames are good."""
_OUR_FAULT: Final = {1011, 4500}
_USUAL: Final = {1002, 1005, 1006, 1007, 1009, 4400, 4429}
_STATUSES: Final = {200, 400, 413}
_KINDS: Final = {"frames": 1, "message": 3, "document": 4, "body": 2}


_EXAMPLES: Final = 20
_PONG: Final = {"type": "pong", "payload": {"last": True}}
_STOP: Final = encode({"type": "complete", "id": "fuzz"})
_LAST: Final = encode({"type": "ping", "payload": {"last": True}})


class Leak(AssertionError):
    """Something was said that should not be."""


def judge(text: str) -> None:
    """Look an answer over. Raises Leak."""
    if found := _INSIDE.search(text):
        raise Leak(f"{found[0]!r} in {text[:500]}")
    if NAME in text:
        raise Leak(f"a name in {text[:500]}")
    for code in re.findall(r'"extensions": ?{"code": ?"([A-Z_]+)"', text):
        if code not in _CODES:
            raise Leak(text[:500])


class Fuzz:
    """So many cases, by a few clients at once. What went wrong is in `wrong`, a few of each kind."""

    def __init__(self, port: int, token: str, seed: int) -> None:
        self._port = port
        self._token = token
        self._hostility = Hostility(seed)
        self.outcomes = Counter[str]()
        self.wrong = list[str]()

    async def run(self, cases: int, at_once: int = 8) -> None:
        """Returns when all were sent and answered. Raises TimeoutError where nothing is said."""
        drawn = iter([self._hostility.choice(_KINDS) for _ in range(cases)])
        await asyncio.gather(*(self._go_on(drawn) for _ in range(at_once)))

    async def _go_on(self, drawn: Iterator[str]) -> None:
        over_http, over_socket = _OverHttp(self._port, self._token), _OverSocket(self._port, self._token)
        try:
            for kind in drawn:
                async with asyncio.timeout(60):
                    await self._case(kind, over_http, over_socket)
        finally:
            await over_http.end()
            await over_socket.end()

    async def _case(self, kind: str, over_http: _OverHttp, over_socket: _OverSocket) -> None:
        try:
            match kind:
                case "frames":
                    outcome = await _garbage(self._port, self._token, self._hostility.frames())
                case "message":
                    outcome = await over_socket.say(self._hostility.message())
                case "document":
                    payload = self._hostility.request()
                    outcome = await over_socket.ask(encode({"type": "subscribe", "id": "fuzz", "payload": payload}))
                case _:
                    outcome = await over_http.post(self._hostility.body())
        except Leak as leak:
            outcome = "leak"
            await over_socket.end()  # what it may still have to say belongs to no other case
            if len(self.wrong) < _EXAMPLES:
                self.wrong.append(str(leak))
        self.outcomes[f"{kind}: {outcome}"] += 1


class _OverSocket:
    """A client whose socket is acknowledged, and made anew after each close."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._stack = AsyncExitStack()
        self._talk: Wire | None = None

    async def say(self, message: bytes) -> str:
        """Send it, and hear all that comes up to the pong that shows that it was dealt with."""
        talk = await self._open()
        await talk.write(framed(Opcode.TEXT, message) + framed(Opcode.TEXT, _LAST))
        said = "nothing"
        while not isinstance(heard := await talk.hear(), Closed):
            if heard == _PONG:
                return said
            if heard["type"] != "pong":  # which repeats what the client said
                judge(json.dumps(heard))
            said = heard["type"]
        await self.end()
        judge(heard.reason)
        # What is sent behind a breach may have the close frame overtaken by a reset.
        if heard.code not in _CLOSES and not (heard.code == 1006 and _is_no_text(message)):
            raise Leak(f"{heard} after {message[:300]!r}")
        return f"closed {heard.code}"

    async def ask(self, subscribe: bytes) -> str:
        """Start an operation, which always says something; then stop it, and hear the rest."""
        talk = await self._open()
        await talk.write(framed(Opcode.TEXT, subscribe))
        first = await talk.hear()
        judge(json.dumps(first))
        if isinstance(first, Closed) or first["type"] not in {"next", "error"}:
            raise Leak(f"{first} after {subscribe[:300]!r}")
        await self.say(_STOP)
        return str(first["type"])

    async def _open(self) -> Wire:
        if self._talk is None:
            self._talk = await self._stack.enter_async_context(wire(self._port))
            await self._talk.init(self._token)
        return self._talk

    async def end(self) -> None:
        self._talk = None
        await self._stack.aclose()


class _OverHttp:
    """A client with one connection, made anew when the server ends it."""

    def __init__(self, port: int, token: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            trust_env=False,
            verify=False,  # noqa: S501 (no TLS here)
            timeout=60,
        )

    async def post(self, body: bytes) -> str:
        """Ask, and look the answer over."""
        answer = await self._client.post("/graphql", content=body)
        judge(f"{dict(answer.headers)} {answer.text}")
        if answer.status_code not in _STATUSES:
            raise Leak(f"{answer.status_code} to {body[:300]!r}")
        return str(answer.status_code)

    async def end(self) -> None:
        await self._client.aclose()


def _is_no_text(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return True
    return False


async def _garbage(port: int, token: str, data: bytes) -> str:
    """Send it on a socket of its own, say no more, and hear the rest."""
    async with wire(port) as talk:
        await talk.init(token)
        await talk.write(data)
        await talk.finish()
        while not isinstance(frame := await talk.frame(), Closed):
            if frame.opcode == Opcode.TEXT and b'"pong"' not in frame.payload:
                judge(frame.payload.decode())
    judge(frame.reason)
    if frame.code in _OUR_FAULT:
        raise Leak(f"{frame} after {data[:300]!r}")
    return f"closed {frame.code if frame.code in _USUAL else 'as the client did'}"
