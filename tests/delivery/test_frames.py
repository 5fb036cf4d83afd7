"""Frames and conversations at the edges that a well-behaved server hides: what comes late, and peers that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from strawberry.http.exceptions import WebSocketDisconnected

from bus.metrics import Metrics
from delivery.endings import Ending
from delivery.frames import Frames
from delivery.messages import Ping
from tests.delivery.harness import Harness, door_tasks
from tests.delivery.issued import member_token


class Peer:
    """The server below a door: gives what it was given, keeps what is sent, and may be gone."""

    def __init__(self, *texts: str, gone_after: int = 1000) -> None:
        self._incoming: list[dict[str, Any]] = [{"type": "websocket.receive", "text": text} for text in texts]
        self.sent: list[dict[str, Any]] = []
        self._gone_after = gone_after

    async def receive(self) -> dict[str, Any]:
        return self._incoming.pop(0) if self._incoming else {"type": "websocket.disconnect", "code": 1006}

    async def send(self, message: Mapping[str, Any]) -> None:
        if len(self.sent) >= self._gone_after:
            raise OSError("gone")
        self.sent.append(dict(message))

    def frames(self) -> Frames:
        return Frames(self.receive, self.send, Metrics())


async def test_messages_that_were_under_way_at_the_close_do_not_count() -> None:
    frames = Peer('{"type": "ping"}', "not JSON", '{"type": "ping"}').frames()
    seen = []
    async for message in frames.iter_json():
        seen.append(message)
        await frames.end(Ending.INTERNAL, "")
    assert seen == [Ping()]


async def test_after_the_close_nothing_is_sent_and_closing_again_changes_nothing() -> None:
    peer = Peer()
    frames = peer.frames()
    await frames.end(Ending.RESTART, "going")
    await frames.end(Ending.INTERNAL, "again")
    with pytest.raises(WebSocketDisconnected):
        await frames.send_json({})
    assert peer.sent == [{"type": "websocket.close", "code": 1012, "reason": "going"}]


async def test_a_reason_is_cut_to_what_a_close_frame_holds() -> None:
    peer = Peer()
    await peer.frames().end(Ending.MALFORMED, "\u00e9" * 100)
    assert peer.sent[0]["reason"] == "\u00e9" * 61


async def test_a_peer_that_is_gone_is_no_error_when_closing() -> None:
    frames = Peer(gone_after=0).frames()
    await frames.end(Ending.EXPIRED, "")
    assert frames.closed


async def test_senders_wait_for_each_other_so_that_one_frame_at_a_time_is_in_flight() -> None:
    in_flight, most = 0, 0

    async def slow(message: object) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0)
        in_flight -= 1

    frames = Frames(Peer().receive, slow, Metrics())
    await asyncio.gather(*(frames.send_json({"n": number}) for number in range(20)))
    assert most == 1


@pytest.mark.parametrize("gone_after", range(1, 6))
async def test_a_peer_that_goes_at_any_moment_leaves_nothing_and_is_no_error(gone_after: int) -> None:
    harness = Harness()
    init = {"type": "connection_init", "payload": {"authToken": member_token()}}
    subscribe = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { count(to: 3) }"}}
    texts = [msgspec.json.encode(each).decode() for each in (init, subscribe, {"type": "ping"})]
    peer = Peer("", *texts, gone_after=gone_after)
    app = harness.app()
    scope = {
        "type": "websocket",
        "path": "/graphql",
        "headers": [],
        "subprotocols": ["graphql-transport-ws"],
        "query_string": b"",
    }
    peer._incoming[0] = {"type": "websocket.connect"}
    await app(scope, peer.receive, peer.send)
    assert len(harness.connections) == 0
    assert not door_tasks()
    assert harness.metrics.registry.get_sample_value("covey_internal_errors_total", {"where": "socket"}) is None
