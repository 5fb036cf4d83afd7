"""A reader that stops reading is cut off, holds little meanwhile, and disturbs nobody."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from bus.metrics import Metrics
from delivery.framing import Ping
from delivery.stall import StallLimits
from delivery.websocket import WebSocket
from tests.delivery.harness import Harness, Talk, door_tasks, eventually, until_stalled
from tests.delivery.issued import member_token
from tests.delivery.sample_schema import ended

FRAME_BYTES = 20_000
PATIENT = StallLimits(write_deadline_seconds=600, buffer_bytes=16 * 1024, kernel_buffer_bytes=16 * 1024)
LIMITS = StallLimits(write_deadline_seconds=0.3, buffer_bytes=16 * 1024, kernel_buffer_bytes=16 * 1024)


def measure(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much transports hold after each write."""
    held: list[int] = []
    uncork = WebSocket._uncork

    def measuring(socket: WebSocket) -> None:
        uncork(socket)
        held.append(socket._transport.get_write_buffer_size())

    monkeypatch.setattr(WebSocket, "_uncork", measuring)
    return held


async def flood(talk: Talk, operations: int = 1) -> None:
    talk.connection.transport.pause_reading()
    for number in range(operations):
        await talk.subscribe(str(number), f"subscription {{ firehose(size: {FRAME_BYTES}) }}")


async def test_a_stalled_reader_is_cut_off_within_its_deadline_and_its_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = measure(monkeypatch)
    async with Harness(stall=LIMITS).serving() as harness:
        async with harness.member() as stalled, harness.member(member_token("m-2")) as other:
            await flood(stalled, operations=5)
            await eventually(lambda: held and max(held) > LIMITS.buffer_bytes)
            await other.subscribe("1", "subscription { count(to: 50) }")
            for number in range(50):
                assert (await other.receive())["payload"] == {"data": {"count": number}}
            await eventually(lambda: harness.closes("stalled") == 1)
            assert await other.alive()
            await eventually(lambda: len(harness.connections) == 1)
            stalled.connection.transport.abort()
        await eventually(lambda: not door_tasks())
    assert max(held) <= LIMITS.buffer_bytes + FRAME_BYTES + 200


async def test_a_token_that_ends_while_its_socket_stalls_ends_the_streams_at_once() -> None:
    metrics = Metrics()
    async with Harness(metrics=metrics, stall=PATIENT).serving() as harness:
        ended.clear()
        async with harness.member(member_token(ttl_seconds=60)) as talk:
            await flood(talk)
            await until_stalled(harness)
            assert ended == []
            harness.clock.advance(60)
            await eventually(lambda: ended == ["firehose"])
            talk.connection.transport.abort()


async def test_a_reader_that_goes_on_in_time_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    sockets: set[WebSocket] = set()
    pause = WebSocket.pause_writing

    def pausing(socket: WebSocket) -> None:
        pause(socket)
        sockets.add(socket)

    monkeypatch.setattr(WebSocket, "pause_writing", pausing)
    async with Harness(stall=PATIENT).serving() as harness, harness.member() as talk:
        await flood(talk)
        await until_stalled(harness)
        (socket,) = sockets
        assert _has_deadline(socket)
        talk.connection.transport.resume_reading()
        await talk.send({"type": "complete", "id": "0"})
        assert await talk.alive()
        assert not _has_deadline(socket)
        assert harness.closes("stalled") == 0


async def test_a_reader_that_is_slow_gets_no_pongs_that_it_does_not_read() -> None:
    async with Harness(stall=PATIENT).serving() as harness, harness.member() as talk:
        await flood(talk)
        await until_stalled(harness)
        (conversation,) = harness.connections.admitted()
        socket = conversation._socket  # type: ignore[attr-defined]
        before = socket._transport.get_write_buffer_size()
        for _ in range(100):
            socket._take(Ping(b"x" * 125))
        socket._uncork()
        assert socket._transport.get_write_buffer_size() == before
        talk.connection.transport.abort()


async def test_a_closed_socket_whose_peer_reads_nothing_is_dropped_at_the_deadline() -> None:
    metrics = Metrics()
    limits = StallLimits(write_deadline_seconds=0.2, buffer_bytes=1024 * 1024, kernel_buffer_bytes=16 * 1024)
    async with Harness(metrics=metrics, stall=limits).serving() as harness:
        async with harness.member() as talk:
            talk.connection.transport.pause_reading()
            for number in range(3):  # held in the process, but under the mark at which senders wait
                await talk.subscribe(str(number), f"subscription {{ firehose(size: {FRAME_BYTES}) }}")
            await talk.connection.send("not JSON")
            await eventually(lambda: harness.closes("malformed") == 1)
            await eventually(lambda: harness.closes("stalled") == 1)
            talk.connection.transport.abort()
        await eventually(lambda: len(harness.connections) == 0)


async def test_a_peer_that_answers_no_ping_is_dropped() -> None:
    async with Harness(ping_seconds=0.1).serving() as harness:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", harness.port)) as raw:
            raw.setblocking(False)
            key = os.urandom(16).hex()[:22] + "=="
            request = (
                "GET /graphql HTTP/1.1\r\nHost: covey\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
            )
            await loop.sock_sendall(raw, request.encode())
            await eventually(lambda: harness.closes("silent") == 1)
        await eventually(lambda: len(harness.connections) == 0)


def _has_deadline(socket: WebSocket) -> bool:
    return socket._deadline is not None
