"""Subscriptions over HTTP as a test reads them: byte by byte, as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import msgspec

from tests.delivery.harness import Harness, client_of

EVENTS: Final = "text/event-stream"
MULTIPART: Final = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0, application/json"


class Body:
    """The body of an answer that is still coming."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._chunks = response.aiter_bytes()
        self._read = b""

    async def until(self, mark: bytes) -> bytes:
        """What comes up to the mark and with it; all that is left if it never comes (then it is not its end)."""
        async with asyncio.timeout(10):
            while mark not in self._read:
                try:
                    self._read += await anext(self._chunks)
                except StopAsyncIteration:
                    break
        found, mark, self._read = self._read.partition(mark)
        return found + mark

    async def rest(self) -> bytes:
        """All that is left. Raises httpx.RemoteProtocolError where the connection breaks first."""
        async with asyncio.timeout(10):
            async for chunk in self._chunks:
                self._read += chunk
        return self._read

    async def events(self, count: int) -> list[dict[str, str]]:
        """The next events, by their fields; comments are passed over."""
        events: list[dict[str, str]] = []
        while len(events) < count:
            lines = (await self.until(b"\n\n")).decode().splitlines()
            fields = dict(line.split(":", 1) for line in lines if line and not line.startswith(":"))
            if fields:
                events.append({name: value.removeprefix(" ") for name, value in fields.items()})
        return events


@contextlib.asynccontextmanager
async def subscribed(
    harness: Harness,
    query: str,
    *,
    accept: str = EVENTS,
    token: str | None = None,
    cursor: str | None = None,
    **more: Any,
) -> AsyncIterator[Body]:
    """A subscription's answer, from its head on."""
    headers = {"accept": accept} | ({} if cursor is None else {"last-event-id": cursor})
    async with (
        client_of(harness, token) as client,
        client.stream("POST", "/graphql", json={"query": query, **more}, headers=headers) as response,
    ):
        yield Body(response)


def numbers(events: list[dict[str, str]]) -> list[tuple[str, int]]:
    """Of the numbered schema: each event's id, and its number."""
    return [(event["id"], msgspec.json.decode(event["data"])["data"]["numbers"]["number"]) for event in events]


def sample(harness: Harness, name: str, **labels: str) -> float:
    """What a metric stands at."""
    return harness.metrics.registry.get_sample_value(name, labels) or 0.0
