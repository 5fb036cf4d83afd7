"""Asks whether Jane Doe is covered and follows the answer, with httpx and websockets and nothing of Covey's.

It outlives cuts, restarts and deploys of the server: every event comes once, in order.

    pip install httpx websockets        # .venv of a checkout has both
    python follow.py http://127.0.0.1:8000/graphql TOKEN

Prints each event as a line of JSON. Ends with 0 if the request completed.
"""
# ruff: noqa: S311, T201 - randomness spreads clients, no more; printing is what this does

from __future__ import annotations

import asyncio
import json
import random
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

MEMBER = "m-1"  # the member that the token is for
AWAY = {429, 502, 503, 504}
TERMINAL = {"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"}
FATAL = {4400, 4401, 4406, 4409, 4429, 4500}  # coming back does not mend these

SUBMIT = """
mutation Submit($input: SubmitCoverageRequestInput!) {
  submitCoverageRequest(input: $input) {
    __typename
    ... on CoverageRequestAccepted { request { id } }
    ... on CoverageAnswered { coverage { status planName ageSeconds } }
    ... on InvalidInput { problems { path code message } }
    ... on Refused { reason message retryAfterSeconds }
  }
}
"""
FOLLOW = """
subscription Follow($id: ID!, $after: Cursor) {
  coverageRequestEvents(requestId: $id, after: $after) {
    __typename
    ... on CoverageRequestEvent {
      cursor id type sequence attempt coverage { status planName } failure { code kind message field }
    }
    ... on Gap { cursor reason }
  }
}
"""
CONNECT_INFO = "{ me { member { websocketSubscribeInfo { url authToken } } } }"


async def jitter(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, min(8, 0.25 * 2**attempt)))


class Covey:
    def __init__(self, http: httpx.AsyncClient, url: str, token: str) -> None:
        self.http, self.url = http, url
        self.headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """One query or mutation, tried again while the server is away or restarts; its data, or an error."""
        body = {"query": query, "variables": variables or {}}
        attempt = 0
        while True:
            try:
                response = await self.http.post(self.url, json=body, headers=self.headers, timeout=30)
            except httpx.TransportError:
                response = None  # nobody listens
            if response is not None and response.status_code not in AWAY:
                answer = response.json()
                if "errors" in answer:
                    raise SystemExit(json.dumps(answer["errors"]))
                data: dict[str, Any] = answer["data"]
                return data
            await jitter(attempt)
            attempt = min(attempt + 1, 10)

    async def follow(self, request_id: str) -> AsyncGenerator[dict[str, Any]]:
        """Every event of the request; after each cut from behind the last one."""
        cursor, in_vain = None, 0
        while True:
            try:
                async with aclosing(self.stream(request_id, cursor)) as items:
                    async for item in items:
                        cursor, in_vain = item["cursor"], 0
                        yield item
                        if item.get("type") in TERMINAL:
                            return
                return
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code in FATAL:
                    raise
            except (OSError, TimeoutError, WebSocketException):
                pass
            await jitter(in_vain)
            in_vain = min(in_vain + 1, 10)

    async def stream(self, request_id: str, after: str | None) -> AsyncGenerator[dict[str, Any]]:
        """What one socket brings. Its token is good for minutes: a new one at each connect."""
        info = (await self.ask(CONNECT_INFO))["me"]["member"]["websocketSubscribeInfo"]
        async with connect(info["url"], subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": {"authToken": info["authToken"]}}))
            payload = {"query": FOLLOW, "variables": {"id": request_id, "after": after}}
            async for text in socket:
                message = json.loads(text)
                match message["type"]:
                    case "connection_ack":
                        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
                    case "ping":
                        await socket.send(json.dumps({"type": "pong"}))
                    case "next":
                        if "errors" in message["payload"]:  # such as NOT_FOUND; then `data` is null
                            raise SystemExit(json.dumps(message["payload"]["errors"]))
                        yield message["payload"]["data"]["coverageRequestEvents"]
                    case "error":
                        raise SystemExit(json.dumps(message["payload"]))
                    case "complete":
                        return
            raise OSError("The server ended the socket.")


async def main(url: str, token: str, payer: str = "60054") -> int:
    async with httpx.AsyncClient() as http:
        covey = Covey(http, url, token)
        person = {"memberId": "AETNA12345", "firstName": "Jane", "lastName": "Doe", "dateOfBirth": "2004-04-04"}
        question = {"memberId": MEMBER, "payerId": payer, "subscriber": person}
        # The key makes that trying again never asks twice.
        request = {"question": question, "cacheMode": "REQUIRE_FRESH", "idempotencyKey": str(uuid.uuid4())}
        result = (await covey.ask(SUBMIT, {"input": request}))["submitCoverageRequest"]
        if result["__typename"] != "CoverageRequestAccepted":
            raise SystemExit(json.dumps(result))
        last: dict[str, Any] = {}
        async for last in covey.follow(result["request"]["id"]):
            print(json.dumps(last), flush=True)
        return 0 if last.get("type") == "COMPLETED" else 1


if __name__ == "__main__":
    if len(sys.argv) not in {3, 4}:
        sys.exit(
            "Usage: python follow.py URL TOKEN [PAYER], like: python follow.py http://127.0.0.1:8000/graphql eyJ..."
        )
    sys.exit(asyncio.run(main(*sys.argv[1:])))
