"""All three subscriptions over Server-Sent Events, by documents that ask for no cursor and take no `after`: ids alone
resume them. In virtual time."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, Final

import msgspec
import pytest
from starlette.types import Message

from bus.metrics import Metrics
from delivery.caller import Caller
from delivery.connections import Connections
from delivery.drain import Drain
from delivery.event_stream import EventStream
from delivery.payloads import Payloads
from delivery.request import GraphQLRequest
from delivery.resumable import Subscriptions
from delivery.streams import Exchange, Streams
from schema.context import Context
from tests.resolvers.world import AETNA, member, operator
from tests.schema.asking import Asker, asking

REQUEST: Final = "subscription ($id: ID!) { coverageRequestEvents(requestId: $id) { __typename } }"
MEMBER: Final = "subscription { memberEvents { __typename } }"
PAYERS: Final = "subscription { payerEvents { __typename ... on PayerEvent { available } } }"

Events = list[tuple[str | None, dict[str, Any]]]
"""Of each `next` event: its id, and what it carries."""


class Reader:
    """A client without a network: reads so many events, and goes. May pass over checkpoints."""

    def __init__(self, most: int, *, checkpoints: bool) -> None:
        self._most = most
        self._checkpoints = checkpoints
        self._gone = asyncio.Event()
        self.events: Events = []
        self.completed = False

    async def receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        for block in message.get("body", b"").decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if fields.get("event") == "next":
                self._take(fields.get("id"), msgspec.json.decode(fields["data"])["data"])
            self.completed = self.completed or fields.get("event") == "complete"

    def _take(self, cursor: str | None, data: dict[str, Any]) -> None:
        (item,) = data.values()
        if len(self.events) < self._most and (self._checkpoints or item["__typename"] != "Checkpoint"):
            self.events.append((cursor, data))
        if len(self.events) == self._most:
            self._gone.set()


async def read(
    asker: Asker,
    query: str,
    *,
    cursor: str | None = None,
    who: Caller | None = None,
    most: int = 100,
    checkpoints: bool = False,
    **variables: Any,
) -> Reader:
    request = GraphQLRequest(query=query, variables=variables)
    subscription = Subscriptions().find(request, lambda _: None)
    assert subscription is not None
    metrics, caller, reader = Metrics(), who or member(), Reader(most, checkpoints=checkpoints)
    connections, clock = Connections(metrics=metrics), asker.world.clock
    streams = Streams(
        schema=asker.schema,
        connections=connections,
        drain=Drain(connections=connections, clock=clock, random=Random(7), window_seconds=1),
        context_factory=lambda caller: Context(caller, asker.world.use_cases),
        payloads=Payloads(metrics=metrics, new_id=lambda: "error-1"),
        metrics=metrics,
        clock=clock,
    )
    exchange = Exchange({"type": "http"}, reader.receive, reader.send)
    resumed = request if cursor is None else subscription.resumed(request, cursor)
    await streams.answer(exchange, resumed, caller, EventStream())
    return reader


def test_a_request_is_resumed_from_every_id() -> None:
    async def scenario(asker: Asker) -> None:
        request = (await asker.submit())["request"]
        whole = await read(asker, REQUEST, id=request["id"])
        assert whole.completed
        assert len(whole.events) == 5
        for seen, (cursor, _) in enumerate(whole.events, start=1):
            assert cursor is not None
            rest = await read(asker, REQUEST, cursor=cursor, id=request["id"])
            assert rest.events == whole.events[seen:]
            assert rest.completed

    asking(scenario)


@pytest.mark.parametrize("made_up", ["made up", "\xff\x00", "x" * 30_000, '"', "0"])
def test_a_gap_has_an_id_too_from_which_the_stream_goes_on(made_up: str) -> None:
    async def scenario(asker: Asker) -> None:
        request = (await asker.submit())["request"]
        await read(asker, REQUEST, id=request["id"])
        told = await read(asker, REQUEST, cursor=made_up, id=request["id"])
        ((cursor, item),) = told.events
        assert item == {"coverageRequestEvents": {"__typename": "Gap"}}
        again = await read(asker, REQUEST, cursor=cursor, id=request["id"])
        assert (again.events, again.completed) == ([], True)

    asking(scenario)


def test_a_members_stream_is_resumed_from_the_id_of_its_first_checkpoint() -> None:
    async def scenario(asker: Asker) -> None:
        first = await read(asker, MEMBER, most=1, checkpoints=True)
        ((cursor, item),) = first.events
        assert item == {"memberEvents": {"__typename": "Checkpoint"}}
        await asker.submit()
        missed = await read(asker, MEMBER, cursor=cursor, most=5)
        assert [item["memberEvents"]["__typename"] for _, item in missed.events] == ["CoverageRequestEvent"] * 5
        assert len({cursor for cursor, _ in missed.events}) == 5
        (stranger,) = (await read(asker, MEMBER, cursor=missed.events[0][0], who=member("m-2"), most=1)).events
        assert stranger[1]["memberEvents"]["__typename"] == "Gap"

    asking(scenario)


@pytest.mark.parametrize("who", [member(), operator()])
def test_the_payers_stream_is_resumed_by_id(who: Caller) -> None:
    async def scenario(asker: Asker) -> None:
        first = await read(asker, PAYERS, who=who, most=1, checkpoints=True)
        await asker.world.downtime(AETNA, available=False)
        await asker.world.downtime(AETNA, available=True)
        missed = await read(asker, PAYERS, cursor=first.events[0][0], who=who, most=2)
        assert [item["payerEvents"]["available"] for _, item in missed.events] == [False, True]

    asking(scenario)
