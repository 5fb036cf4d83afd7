"""A server that says what a test wrote down: GraphQL over HTTP by a function, sockets by a script each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from random import Random
from typing import Any

import httpx
from websockets.asyncio.server import ServerConnection, serve

from console.submit_and_follow import Item, SubmitAndFollow

Script = Callable[["ScriptedSocket"], Awaitable[None]]


class ScriptedSocket:
    """One accepted socket, from the server's side."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.init: Item = {}
        self.variables: Item = {}

    async def receive(self) -> Item:
        message: Item = json.loads(await self.connection.recv())
        return message

    async def send(self, message: Item) -> None:
        await self.connection.send(json.dumps(message))

    async def subscribed(self) -> None:
        """Take the init, acknowledge it, and take the subscription."""
        self.init = (await self.receive())["payload"]
        await self.send({"type": "connection_ack"})
        self.variables = (await self.receive())["payload"]["variables"]

    async def next(self, item: Item) -> None:
        await self.send({"id": "1", "type": "next", "payload": {"data": {"coverageRequestEvents": item}}})

    async def complete(self) -> None:
        await self.send({"id": "1", "type": "complete"})

    async def close(self, code: int, reason: str = "") -> None:
        await self.connection.close(code, reason)


class UnhurriedClock:
    """Sleeps that return at once and are remembered."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        raise AssertionError("a client has no use for wall time")

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class ScriptedServer:
    """Plays one script for each socket in turn, the last one again and again; records what it saw."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self.sockets: list[ScriptedSocket] = []
        self.requests: list[Item] = []
        self.respond: Callable[[Item], httpx.Response] = lambda _: httpx.Response(500)
        self.clock = UnhurriedClock()
        self.client: SubmitAndFollow

    async def _play(self, connection: ServerConnection) -> None:
        socket = ScriptedSocket(connection)
        self.sockets.append(socket)
        await self._scripts[min(len(self.sockets), len(self._scripts)) - 1](socket)

    def _post(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.requests.append({"url": str(request.url), "headers": request.headers, **body})
        return self.respond(body)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedServer]:
        async with (
            serve(self._play, "127.0.0.1", 0, subprotocols=[_SUBPROTOCOL]) as server,
            httpx.AsyncClient(transport=httpx.MockTransport(self._post)) as http,
        ):
            port = server.sockets[0].getsockname()[1]
            self.client = SubmitAndFollow(
                f"http://127.0.0.1:{port}", "t0ken", http=http, clock=self.clock, random=Random(1)
            )
            yield self


_SUBPROTOCOL: Any = "graphql-transport-ws"


def event(type_: str, cursor: str, **more: Any) -> Item:
    """An item as the schema names its fields."""
    return {
        "__typename": "CoverageRequestEvent",
        "cursor": cursor,
        "id": f"e-{cursor}",
        "type": type_,
        "time": "2026-03-01T10:11:12Z",
        "sequence": 1,
        "attempt": 1,
        "requestId": "r-1",
        "memberId": "m-1",
        "payerId": "SIMOK",
        "queuePosition": None,
        "estimatedWaitSeconds": None,
        "coverage": None,
        "failure": None,
        **more,
    }
