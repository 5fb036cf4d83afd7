"""A client of Covey's GraphQL: submits one coverage request over HTTP and follows its events over a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from random import Random
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx
import websockets
from websockets.asyncio.client import ClientConnection, connect

from bus.clock import Clock
from console.asking import ANSWER_SECONDS, answered, graphql_url, refusal
from console.errors import ServerRefused, ServerUnreachable, TokenNotTaken
from setting_kinds import LOOPBACK

Item = dict[str, Any]
"""One item of a stream or one member of a result union, with the schema's own names and its `__typename`."""

TERMINAL: Final = frozenset({"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"})
_ATTEMPTS: Final = 10
"""Reconnections in a row that bring no item, over about half a minute: longer than a deploy takes."""
_RETRYABLE: Final = frozenset({1000, 1001, 1005, 1006, 1012, 1013, 1014, 4408})
"""Close codes behind which a server is worth coming back to (graphql-ws's own list, without a refused token)."""
_TOKEN_REFUSED: Final = 4403

_COVERAGE: Final = """
fragment Told on Coverage {
  status obtainedAt ageSeconds source requestId payerId planName groupNumber planBegin planEnd
  benefits { kind serviceTypeCodes amount percent network coverageLevel timePeriod quantity messages }
}
"""
_SUBMIT: Final = (
    """
mutation Submit($input: SubmitCoverageRequestInput!) {
  submitCoverageRequest(input: $input) {
    __typename
    ... on CoverageRequestAccepted { request { id status cursor queuePosition estimatedWaitSeconds } }
    ... on CoverageAnswered { coverage { ...Told } refresh { id } }
    ... on InvalidInput { problems { path code message } }
    ... on Refused { reason message retryAfterSeconds }
  }
}
"""
    + _COVERAGE
)
_FOLLOW: Final = (
    """
subscription Follow($requestId: ID!, $after: Cursor) {
  coverageRequestEvents(requestId: $requestId, after: $after, progress: true) {
    __typename
    ... on CoverageRequestEvent {
      cursor id type time sequence attempt requestId memberId payerId queuePosition estimatedWaitSeconds
      coverage { ...Told } failure { code kind message field followUp }
    }
    ... on QueueProgress { cursor requestId place: queuePosition estimatedWaitSeconds }
    ... on Gap { cursor reason }
  }
}
"""
    + _COVERAGE
)


class SubmitAndFollow:
    """Submits, then follows to the end; when cut off it comes back by cursor, so that it gets each event once."""

    def __init__(self, url: str, token: str, *, http: httpx.AsyncClient, clock: Clock, random: Random) -> None:
        """`url` is the server's, with or without `/graphql`."""
        self._url = graphql_url(url)
        parts = urlsplit(self._url)
        self._socket_url = parts._replace(scheme="wss" if parts.scheme == "https" else "ws").geturl()
        # A proxy of the environment is for other machines; many forget to except this one.
        self._proxy: Literal[True] | None = None if parts.hostname in LOOPBACK else True
        self._authorization = f"Bearer {token}"
        self._http = http
        self._clock = clock
        self._random = random

    async def submit(self, request: Item) -> Item:
        """Submit a `SubmitCoverageRequestInput`; the member of the result union.

        Raises ServerUnreachable, ServerRefused, TokenNotTaken.
        """
        data = await answered(self._http, self._url, self._authorization, _SUBMIT, {"input": request})
        result: Item = data["submitCoverageRequest"]
        return result

    async def follow(self, request_id: str) -> AsyncGenerator[Item]:
        """Every item of `coverageRequestEvents`, from the request's first event to its terminal one.

        Raises ServerUnreachable after many reconnections in vain, ServerRefused, TokenNotTaken.
        """
        cursor: str | None = None
        in_vain = 0
        while in_vain < _ATTEMPTS:
            with suppress(OSError, TimeoutError, websockets.InvalidHandshake, _CutOff):
                async with aclosing(self._stream(request_id, cursor)) as items:
                    async for item in items:
                        cursor, in_vain = item["cursor"], 0
                        yield item
                        if item.get("type") in TERMINAL:
                            return
                raise ServerRefused("The stream ended before the request did. Ask again.")
            # Full jitter, so that the clients of a server that went away do not come back together.
            await self._clock.sleep(self._random.uniform(0, min(8.0, 0.25 * 2**in_vain)))
            in_vain += 1
        raise ServerUnreachable(
            f"{self._url} does not answer on a socket any more. Request {request_id} was accepted and goes on: run the "
            "same command again once the server is back; it joins that one's call, or finds the answer in the cache."
        )

    async def _stream(self, request_id: str, after: str | None) -> AsyncGenerator[Item]:
        """One socket's items, to `complete`. Raises _CutOff where coming back may help."""
        async with connect(
            self._socket_url,
            subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
            open_timeout=ANSWER_SECONDS,
            proxy=self._proxy,
        ) as socket:
            try:
                await _send(socket, {"type": "connection_init", "payload": {"authorization": self._authorization}})
                async with asyncio.timeout(ANSWER_SECONDS):
                    while (await _receive(socket))["type"] != "connection_ack":
                        pass
                variables = {"requestId": request_id, "after": after}
                await _send(
                    socket, {"id": "1", "type": "subscribe", "payload": {"query": _FOLLOW, "variables": variables}}
                )
                while (message := await _receive(socket))["type"] != "complete":
                    match message["type"]:
                        case "next":
                            yield _item(message["payload"])
                        case "error":
                            raise refusal(message["payload"])
                        case "ping":
                            await _send(socket, {"type": "pong"})
            except websockets.ConnectionClosed as closed:
                raise _judged(closed) from None


class _CutOff(Exception):
    """The socket ended; the stream can be resumed on another."""


def _judged(closed: websockets.ConnectionClosed) -> _CutOff | ServerRefused:
    code = closed.rcvd.code if closed.rcvd else 1006
    if code in _RETRYABLE:
        return _CutOff()
    reason = closed.rcvd.reason if closed.rcvd else ""
    if code == _TOKEN_REFUSED:
        return TokenNotTaken(reason)
    return ServerRefused(f"The server closed the socket: {code} {reason}.")


def _item(payload: Item) -> Item:
    if payload.get("errors"):
        raise refusal(payload["errors"])
    item: Item = payload["data"]["coverageRequestEvents"]
    if "place" in item:  # two types of GraphQL's, so two names in the document
        item["queuePosition"] = item.pop("place")
    return item


async def _send(socket: ClientConnection, message: Item) -> None:
    await socket.send(json.dumps(message))


async def _receive(socket: ClientConnection) -> Item:
    try:
        message = json.loads(await socket.recv())
    except ValueError:
        message = None
    if not isinstance(message, dict) or "type" not in message:
        raise ServerRefused("The server does not speak graphql-transport-ws. Is --url that of a Covey server?")
    return message
