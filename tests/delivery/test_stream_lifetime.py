"""How streams over HTTP end, and what they may cost: as sockets do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from delivery.stall import StallLimits
from tests.delivery.harness import Harness, client_of, door_tasks, error_code, eventually
from tests.delivery.issued import member_token, service_token
from tests.delivery.numbered_schema import NUMBERED
from tests.delivery.sample_schema import ended
from tests.delivery.streaming import EVENTS, numbers, sample, subscribed

NUMBERS = "subscription { numbers(to: 3) { number } }"
LIVE = "subscription { numbers(to: 3, live: true) { number } }"


def numbered() -> Harness:
    return Harness(schema=NUMBERED)


@contextlib.asynccontextmanager
async def stalled_reader(harness: Harness, query: str) -> AsyncIterator[None]:
    """A client that subscribes, and reads the first byte of the answer and no more."""
    body = msgspec.json.encode({"query": query})
    reader, writer = await asyncio.open_connection("127.0.0.1", harness.port, limit=1)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
        b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s" % (member_token().encode(), len(body), body)
    )
    await reader.read(1)
    try:
        yield
    finally:
        writer.transport.abort()


async def test_when_the_token_ends_the_connection_breaks_and_everything_behind_it_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended.clear()
    async with Harness().serving() as harness:
        query = "subscription { forever }"
        async with subscribed(harness, query, token=member_token(ttl_seconds=60)) as body:
            await body.events(1)
            harness.clock.advance(60)
            with pytest.raises(httpx.RemoteProtocolError):
                await body.rest()
        assert ended == ["forever"]
        assert harness.closes("expired") == 1
        assert not caplog.records
        await eventually(lambda: not door_tasks())
        assert len(harness.connections) == 0


async def test_a_drain_breaks_streams_within_its_window_and_new_ones_are_503() -> None:
    async with numbered().serving() as harness, subscribed(harness, LIVE) as body:
        await body.events(3)
        drain = asyncio.create_task(harness.drain.run())
        await eventually(lambda: harness.clock.sleeping == 3)
        assert not drain.done()
        harness.clock.advance(10)
        with pytest.raises(httpx.RemoteProtocolError):
            await body.rest()
        await drain
        assert harness.closes("restart") == 1
        async with client_of(harness) as client:
            answer = await client.post("/graphql", json={"query": LIVE}, headers={"accept": EVENTS})
            assert (answer.status_code, answer.headers["connection"]) == (503, "close")


async def test_a_stream_that_was_asked_for_before_a_drain_and_comes_after_it_began_is_503() -> None:
    async with numbered().serving() as harness, client_of(harness) as client:
        draining = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b'{"query":'
            await draining.wait()
            yield msgspec.json.encode(LIVE) + b"}"

        headers = {"accept": EVENTS, "content-type": "application/json"}
        asking = asyncio.create_task(client.post("/graphql", content=slowly(), headers=headers))
        await eventually(lambda: len(harness.verifier._verified) == 1)
        await harness.drain.run()
        draining.set()
        answer = await asking
        assert (answer.status_code, error_code(answer)) == (503, "UNAVAILABLE")


async def test_when_the_client_goes_its_subscription_ends_with_it() -> None:
    ended.clear()
    async with Harness().serving() as harness:
        async with subscribed(harness, "subscription { forever }") as body:
            await body.events(1)
            assert len(harness.connections) == 1
            assert sample(harness, "covey_connections", door="sse") == 1
            assert sample(harness, "covey_subscriptions", door="sse") == 1
            assert sample(harness, "covey_delivered_bytes_total", door="sse") > 0
        await eventually(lambda: not len(harness.connections))
        assert ended == ["forever"]
        assert sample(harness, "covey_connections", door="sse") == 0
        assert sample(harness, "covey_subscriptions", door="sse") == 0
        assert not door_tasks()


async def test_streams_and_sockets_share_the_limit_of_connections_and_one_too_many_is_503() -> None:
    async with (
        Harness(per_member=2, schema=NUMBERED).serving() as harness,
        harness.member(),
        subscribed(harness, LIVE) as body,
    ):
        await body.events(3)
        async with client_of(harness) as client:
            answer = await client.post("/graphql", json={"query": LIVE}, headers={"accept": EVENTS})
            assert (answer.status_code, error_code(answer)) == (503, "UNAVAILABLE")
            assert answer.headers["retry-after"] == "1"
            assert (await client.post("/graphql", json={"query": "{ hello }"})).status_code == 200
        async with subscribed(harness, LIVE, token=service_token()) as other:
            await other.events(3)


async def test_a_stalled_reader_holds_little_and_is_cut_off_and_others_go_on() -> None:
    ended.clear()
    stall = StallLimits(write_deadline_seconds=0.3, buffer_bytes=16 * 1024, kernel_buffer_bytes=16 * 1024)
    async with (
        Harness(schema=NUMBERED, stall=stall).serving() as harness,
        stalled_reader(harness, "subscription { firehose(size: 10000) }"),
    ):
        await eventually(lambda: sample(harness, "covey_paused_connections") == 1)
        await eventually(lambda: ended == ["firehose"])
        assert harness.closes("stalled") + harness.closes("silent") == 1
        assert sample(harness, "covey_paused_connections") == 0
        async with subscribed(harness, NUMBERS) as body:
            assert numbers(await body.events(3)) == [("1", 1), ("2", 2), ("3", 3)]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux watches for it")
async def test_a_reader_that_leaves_little_unread_is_cut_off_too() -> None:
    stall = StallLimits(write_deadline_seconds=0.3, buffer_bytes=1024 * 1024, kernel_buffer_bytes=16 * 1024)
    async with (
        Harness(schema=NUMBERED, stall=stall).serving() as harness,
        stalled_reader(harness, "subscription { bulk(size: 500000) }"),
    ):
        await eventually(lambda: harness.closes("silent") == 1)
        await eventually(lambda: not door_tasks())
        assert len(harness.connections) == 0


async def test_a_stalled_reader_keeps_nothing_alive_when_its_token_ends() -> None:
    ended.clear()
    stall = StallLimits(write_deadline_seconds=2, buffer_bytes=16 * 1024, kernel_buffer_bytes=16 * 1024)
    async with (
        Harness(schema=NUMBERED, stall=stall).serving() as harness,
        stalled_reader(harness, "subscription { firehose(size: 10000) }"),
    ):
        await eventually(lambda: harness.clock.sleeping == 2)
        harness.clock.advance(3600)
        await eventually(lambda: harness.closes("expired") == 1)
        assert ended == ["firehose"]
        await eventually(lambda: not len(harness.connections))
