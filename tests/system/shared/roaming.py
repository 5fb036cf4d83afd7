"""A caller over several gateways: at each cut it goes to the next one and resumes there by its cursor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from tests.system.program import FOLLOW, STATUS, SUBMIT, TERMINAL, received, subscribe

MEMBER_EVENTS: Final = """
subscription Member($member: ID, $after: Cursor) {
  memberEvents(memberId: $member, after: $after) {
    __typename
    ... on Update { cursor }
    ... on CoverageRequestEvent { id type sequence requestId }
    ... on Gap { reason }
  }
}
"""
_PING_SECONDS: Final = 2.0
_PONG_SECONDS: Final = 4.0
_ANSWER_SECONDS: Final = 12.0
_AGAIN_SECONDS: Final = 0.1


class Away(Exception):
    """The gateway does not answer, or sends its callers elsewhere."""


class Roaming:
    """Holds no connection between calls but HTTP's own."""

    def __init__(self, ports: Sequence[int], bearer: str) -> None:
        self.ports = list(ports)
        self._bearer = bearer
        self._http = httpx.AsyncClient(headers={"Authorization": f"Bearer {bearer}"}, timeout=_ANSWER_SECONDS)

    async def close(self) -> None:
        await self._http.aclose()

    async def execute(self, query: str, *, at: int = 0, **variables: Any) -> dict[str, Any]:
        """Ask the gateway number `at` once. Raises Away; errors of GraphQL fail the test."""
        url = f"http://127.0.0.1:{self.ports[at]}/graphql"
        try:
            response = await self._http.post(url, json={"query": query, "variables": variables})
            body: dict[str, Any] = response.json()
        except (httpx.TransportError, json.JSONDecodeError) as error:
            raise Away(type(error).__name__) from error
        if response.status_code == 503:
            raise Away("draining")
        if any(error["extensions"]["code"] == "UNAVAILABLE" for error in body.get("errors", ())):
            raise Away("unavailable")
        assert "errors" not in body, body
        return dict(body["data"])

    async def execute_surely(self, query: str, *, at: int = 0, **variables: Any) -> dict[str, Any]:
        """Ask one gateway after another until one answers."""
        while True:
            with suppress(Away):
                return await self.execute(query, at=at % len(self.ports), **variables)
            at += 1
            await asyncio.sleep(_AGAIN_SECONDS)

    async def submit(self, asked: dict[str, Any], *, at: int = 0, **options: Any) -> dict[str, Any]:
        """What the mutation answers."""
        data = await self.execute(SUBMIT, at=at, input={"question": asked, "cacheMode": "REQUIRE_FRESH", **options})
        return dict(data["submitCoverageRequest"])

    async def submitted(self, asked: dict[str, Any], *, at: int = 0, **options: Any) -> str:
        """The id of a request that was accepted, whatever the cache holds."""
        result = await self.submit(asked, at=at, **options)
        assert result["__typename"] == "CoverageRequestAccepted", result
        return str(result["request"]["id"])

    async def submitted_surely(self, asked: dict[str, Any], key: str, *, at: int = 0, **options: Any) -> str:
        """As `submitted`, at one gateway after another under one idempotency key, while they are away or refuse."""
        given = {"question": asked, "cacheMode": "REQUIRE_FRESH", "idempotencyKey": key, **options}
        while True:
            data = await self.execute_surely(SUBMIT, at=at, input=given)
            result = data["submitCoverageRequest"]
            if result["__typename"] == "CoverageRequestAccepted":
                return str(result["request"]["id"])
            assert result.get("reason") == "LOG_UNAVAILABLE", result
            at += 1
            await asyncio.sleep(_AGAIN_SECONDS)

    async def ended(self, request_id: str, *, at: int = 0) -> str:
        """The status that the request ends in, asked again and again."""
        while True:
            found = (await self.execute_surely(STATUS, at=at, id=request_id))["coverageRequest"]
            if found is not None and found["status"] in TERMINAL:
                return str(found["status"])
            await asyncio.sleep(_AGAIN_SECONDS)
            at += 1

    async def follow(self, request_id: str, after: str | None = None, *, at: int = 0) -> list[dict[str, Any]]:
        """Every item up to the terminal event, or up to a Gap; each cut moves it to the next gateway."""
        items: list[dict[str, Any]] = []
        while True:
            with suppress(OSError, WebSocketException, TimeoutError, Away):
                async for item in self.items(at, FOLLOW, "coverageRequestEvents", id=request_id, after=after):
                    items.append(item)
                    after = item["cursor"]
                    if item.get("type") in TERMINAL or item["__typename"] == "Gap":
                        return items
            at = (at + 1) % len(self.ports)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def items(self, at: int, query: str, field: str, **variables: Any) -> AsyncIterator[dict[str, Any]]:
        """What one subscription at one gateway brings, until it completes or is cut."""
        async with self.socket(at) as socket_:
            await subscribe(socket_, query, **variables)
            async for item in items_of(socket_, field):
                yield item

    @asynccontextmanager
    async def socket(self, at: int = 0) -> AsyncIterator[ClientConnection]:
        """A socket that was acknowledged, and that notices a gateway which does not run."""
        url = f"ws://127.0.0.1:{self.ports[at]}/graphql"
        options: dict[str, Any] = {"ping_interval": _PING_SECONDS, "ping_timeout": _PONG_SECONDS, "close_timeout": 1}
        protocols = [Subprotocol("graphql-transport-ws")]
        async with connect(url, subprotocols=protocols, proxy=None, open_timeout=5, **options) as socket_:
            greeting = {"type": "connection_init", "payload": {"authorization": f"Bearer {self._bearer}"}}
            await socket_.send(json.dumps(greeting))
            assert (await received(socket_))["type"] == "connection_ack"
            yield socket_


async def items_of(socket_: ClientConnection, field: str) -> AsyncIterator[dict[str, Any]]:
    """Of the one subscription that runs on the socket, until it completes or the socket is cut. Raises Away."""
    while True:
        message = await received(socket_)
        if message["type"] == "complete":
            return
        refusals = message["payload"] if message["type"] == "error" else message["payload"].get("errors")
        if refusals:
            assert {error["extensions"]["code"] for error in refusals} == {"UNAVAILABLE"}, message
            raise Away("unavailable")
        yield message["payload"]["data"][field]


def cut(socket_: ClientConnection) -> None:
    """As a train in a tunnel does: no goodbye."""
    socket_.transport.abort()
