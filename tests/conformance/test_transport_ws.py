"""graphql-transport-ws against the real program: every message and every close code, over bare TCP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.conversations import MALFORMED, ME, OPENING, TALKING, hold
from tests.conformance.wire import wire
from tests.system.program import Server


@pytest.mark.parametrize("lines", OPENING.values(), ids=OPENING)
async def test_opening(program: Server, token: str, lines: list[str]) -> None:
    async with wire(program.port) as talk:
        await hold(talk, lines, token)


@pytest.mark.parametrize("lines", TALKING.values(), ids=TALKING)
async def test_talking(program: Server, token: str, lines: list[str]) -> None:
    async with wire(program.port) as talk:
        await talk.init(token)
        await hold(talk, lines, token)


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("acknowledged", [True, False], ids=["after the ack", "before init"])
async def test_a_malformed_message_closes_with_4400(
    program: Server, token: str, message: str | bytes, acknowledged: bool
) -> None:
    async with wire(program.port) as talk:
        if acknowledged:
            await talk.init(token)
        await talk.say(message)
        end = await talk.closed()
    assert end.code == 4400 and end.reason
    assert "Smith" not in end.reason


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["graphql-transport-ws"], "graphql-transport-ws"),
        (["graphql-ws", "graphql-transport-ws"], "graphql-transport-ws"),
        (["graphql-ws"], None),
        (["GRAPHQL-TRANSPORT-WS"], None),
        (["other"], None),
        ([], None),
    ],
)
async def test_the_subprotocol_is_chosen_or_closed_with_4406(
    program: Server, offered: list[str], chosen: str | None
) -> None:
    async with wire(program.port, offered) as talk:
        assert talk.headers.get("sec-websocket-protocol") == chosen
        if chosen is None:
            assert (await talk.closed()).code == 4406


async def test_the_same_id_on_two_sockets_is_two_operations(program: Server, token: str) -> None:
    async with wire(program.port) as one, wire(program.port) as other:
        for talk in (one, other):
            await talk.init(token)
            await hold(talk, TALKING["subscription"], token)
        await hold(one, ['> {"type": "complete", "id": "1"}'], token)
        await hold(other, [f'> {{"id": "1", {ME}}}', "< closed 4409"], token)


async def test_operations_over_the_rate_are_errors_for_their_ids(program: Server, token: str) -> None:
    async with wire(program.port) as talk:
        await talk.init(token)
        kinds = set()
        for number in range(30):  # the burst is 20
            await talk.say({"type": "subscribe", "id": str(number), "payload": {"query": "{"}})
            heard = await talk.hear()
            assert isinstance(heard, dict)
            kinds.add((heard["type"], heard["payload"][0]["extensions"]["code"]))
        assert kinds == {("error", "BAD_USER_INPUT"), ("error", "RATE_LIMITED")}
        await hold(talk, [], token)


async def test_a_socket_too_many_is_acknowledged_and_closed_with_1013(
    program: Server, new_token: Callable[[], str]
) -> None:
    token = new_token()
    async with wire(program.port) as one, wire(program.port) as two, wire(program.port) as three:
        for talk in (one, two, three):
            await talk.init(token)
        async with wire(program.port) as fourth:
            await fourth.init(token)
            assert (await fourth.closed()).code == 1013
        async with wire(program.port) as others:
            await others.init(new_token())
            await hold(others, [], token)
