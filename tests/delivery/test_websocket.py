"""A connection at rest, and at its edges: what comes late, and peers that are gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from delivery.endings import Ending
from delivery.websocket import SocketGone, WebSocket
from tests.delivery.harness import Harness, door_tasks, eventually
from tests.delivery.issued import member_token

CHARS = "\u00e9" * 100


def socket_of(harness: Harness) -> tuple[Any, WebSocket]:
    """The one conversation, and what it talks on."""
    (conversation,) = harness.connections.admitted()
    socket: WebSocket = conversation._socket  # type: ignore[attr-defined]
    return conversation, socket


async def test_a_socket_on_which_nothing_runs_has_no_task_and_all_of_them_one_timer(served: Harness) -> None:
    async with served.member(), served.member(member_token("m-2")):
        await eventually(lambda: not door_tasks())
        assert served.clock.sleeping == 1


async def test_after_the_close_nothing_is_sent_nothing_is_heard_and_closing_again_changes_nothing(
    served: Harness,
) -> None:
    async with served.member() as talk:
        conversation, socket = socket_of(served)
        conversation.close(Ending.RESTART, CHARS)
        conversation.close(Ending.INTERNAL, "again")
        with pytest.raises(SocketGone):
            await conversation.say({})
        conversation.hear("not JSON")
        assert await talk.closed() == (1012, "\u00e9" * 61)
    assert (served.closes("restart"), served.closes("internal"), served.closes("malformed")) == (1, 0, 0)
    assert socket.closed


async def test_what_is_sent_in_one_turn_leaves_in_one_write(served: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served.member() as talk:
        conversation, socket = socket_of(served)
        await eventually(lambda: not door_tasks())
        writes: list[int] = []
        uncork = WebSocket._uncork

        def counting(one: WebSocket) -> None:
            writes.append(len(one._corked or b""))
            uncork(one)

        monkeypatch.setattr(WebSocket, "_uncork", counting)
        for number in range(20):
            await conversation.say({"n": number})
        assert [(await talk.receive())["n"] for _ in range(20)] == list(range(20))
        assert len(writes) == 1 and socket._corked is None


async def test_messages_that_come_while_one_is_handled_wait_their_turn_in_the_kernel(served: Harness) -> None:
    async with served.member() as talk:
        for number in range(200):
            await talk.send({"type": "ping", "payload": {"n": number}})
        assert [(await talk.receive())["payload"]["n"] for _ in range(200)] == list(range(200))
        _, socket = socket_of(served)
        assert socket._reading


@pytest.mark.parametrize("turns", range(8))
async def test_a_peer_that_goes_at_any_moment_leaves_nothing_and_is_no_error(served: Harness, turns: int) -> None:
    async with served.socket() as talk:
        await talk.send({"type": "connection_init", "payload": {"authToken": member_token()}})
        await talk.subscribe("1", "subscription { forever }")
        await talk.send({"type": "ping"})
        for _ in range(turns):
            await asyncio.sleep(0)
        talk.connection.transport.abort()
    await eventually(lambda: len(served.connections) == 0 and not door_tasks())
    assert served.metrics.registry.get_sample_value("covey_internal_errors_total", {"where": "socket"}) is None


async def test_pings_go_on_as_long_as_something_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    look_in = WebSocket._look_in

    def looking(socket: WebSocket, seconds: float) -> None:
        looks.append(seconds)
        look_in(socket, seconds)

    monkeypatch.setattr(WebSocket, "_look_in", looking)
    async with Harness(ping_seconds=0.05).serving() as harness, harness.member() as talk:
        await eventually(lambda: len(looks) >= 4)
        assert await talk.alive()
        assert harness.closes("silent") == 0
