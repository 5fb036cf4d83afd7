"""Slow, silent and overlong senders end, without a token and whatever they send; others are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from delivery.senders import SenderGuard, SenderLimits
from tests.delivery.harness import Harness, client_of, eventually
from tests.delivery.issued import member_token

HEAD_LATE = SenderLimits(head_seconds=0.2, body_seconds=600)
BODY_LATE = SenderLimits(head_seconds=600, body_seconds=0.2)
BODY = b'{"query": "{ hello }"}'
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
)


def post(*, authorized: bool = True, length: int = len(BODY), more: bytes = b"") -> bytes:
    """The head of a request to `/graphql`."""
    token = f"Authorization: Bearer {member_token()}\r\n".encode() if authorized else b""
    return (
        b"POST /graphql HTTP/1.1\r\nHost: covey\r\nContent-Type: application/json\r\n"
        + token
        + more
        + f"Content-Length: {length}\r\n\r\n".encode()
    )


@contextlib.asynccontextmanager
async def raw(harness: Harness) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", harness.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def rest_of(reader: StreamReader) -> bytes:
    """Everything until the server closes, however long that takes; a test that hangs here has failed."""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            return await reader.read()
    return b""


async def answer_of(reader: StreamReader) -> tuple[int, str]:
    """Status and the one error's message; the connection goes on."""
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        body = json.loads(await reader.readexactly(length))
    return int(head.split()[1]), body["errors"][0]["message"] if "errors" in body else ""


async def exchange(harness: Harness, sent: bytes) -> tuple[int, str]:
    """The answer to bytes after which the server closes."""
    async with raw(harness) as (reader, writer):
        writer.write(sent)
        answer = await answer_of(reader)
        assert await rest_of(reader) == b""
    return answer


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /gra",
        b"POST /graphql HTTP/1.1\r\nHost: covey\r\nX-Slow: ",
        b"GET /graphql HTTP/1.1\r\nHost: covey\r\n" + UPGRADE,
    ],
    ids=["request line", "headers", "websocket handshake"],
)
async def test_a_head_that_does_not_come_is_told_so_and_ends(sent: bytes) -> None:
    async with Harness(senders=HEAD_LATE).serving() as harness:
        assert (await exchange(harness, sent))[0] == 408
        assert harness.closes("slow") == 1


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"], ids=["nothing", "empty lines"])
async def test_a_connection_that_never_asks_ends_without_words(sent: bytes) -> None:
    async with Harness(senders=HEAD_LATE).serving() as harness, raw(harness) as (reader, writer):
        writer.write(sent)
        assert await rest_of(reader) == b""


async def test_a_head_that_trickles_is_not_given_more_time_by_each_byte() -> None:
    async with Harness(senders=HEAD_LATE).serving() as harness, raw(harness) as (reader, writer):

        async def trickle() -> None:
            for byte in b"GET /graphql HTTP/1.1\r\nX-Slow: " + b"a" * 10_000:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        assert (await answer_of(reader))[0] == 408
        trickling.cancel()


async def test_a_second_request_on_the_connection_has_its_own_deadline() -> None:
    async with Harness(senders=HEAD_LATE).serving() as harness, raw(harness) as (reader, writer):
        writer.write(post() + BODY)
        assert (await answer_of(reader))[0] == 200
        writer.write(b"\r\n")  # ends the server's own wait for an idle connection
        assert await rest_of(reader) == b""
        assert harness.closes("slow") == 1


async def test_a_body_that_does_not_come_is_408() -> None:
    async with Harness(body_seconds=0.2).serving() as harness:
        status, message = await exchange(harness, post() + BODY[:5])
    assert (status, "0.2 s" in message) == (408, True)


async def test_a_body_that_nobody_reads_ends_the_connection_however_it_trickles() -> None:
    async with Harness(senders=BODY_LATE).serving() as harness, raw(harness) as (reader, writer):
        writer.write(post(authorized=False, length=60_000))
        assert (await answer_of(reader))[0] == 401

        async def trickle() -> None:
            while True:
                writer.write(b"a")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        await rest_of(reader)
        trickling.cancel()
        assert harness.closes("slow") == 1


async def test_an_answer_that_takes_longer_than_the_deadlines_is_given() -> None:
    limits = SenderLimits(head_seconds=0.1, body_seconds=0.1)
    async with Harness(senders=limits).serving() as harness, harness.member() as talk:
        await talk.subscribe("1", "subscription { forever }")
        await talk.receive()
        await asyncio.sleep(0.3)  # the handshake's deadline would have passed
        assert await talk.alive()


@pytest.mark.parametrize("pieces", [1, 20])
async def test_a_head_over_its_limit_is_431(pieces: int) -> None:
    sent = post(more=b"".join(b"X-%d: %b\r\n" % (number, b"a" * 2_000) for number in range(20)))
    size = len(sent) // pieces + 1
    async with Harness().serving() as harness, raw(harness) as (reader, writer):
        for at in range(0, len(sent), size):
            writer.write(sent[at : at + size])
            await asyncio.sleep(0)
        status, message = await answer_of(reader)
        assert (status, "32768 bytes" in message) == (431, True)
        await rest_of(reader)


async def test_a_header_that_never_ends_is_431_before_its_deadline() -> None:
    async with Harness().serving() as harness, raw(harness) as (reader, writer):
        writer.write(b"GET /graphql HTTP/1.1\r\nX-Long: " + b"a" * 33_000)
        assert (await answer_of(reader))[0] == 431


CHUNKED = post().partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    ("begun", "endless"),
    [(WHOLE, b"X-Trailer: a\r\n"), (WHOLE + b"X-Trailer: ", b"a" * 16), (b"1;", b"a" * 16)],
    ids=["trailers", "one trailer", "a chunk's extension"],
)
async def test_what_is_no_body_has_an_end_in_a_body_too(begun: bytes, endless: bytes) -> None:
    async with Harness(senders=SenderLimits(body_seconds=600)).serving() as harness, raw(harness) as (reader, writer):
        writer.write(CHUNKED + begun)

        async def flood() -> None:
            while True:
                writer.write(endless * 1_000)
                await writer.drain()

        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                await flood()
        assert await rest_of(reader) == b""


async def test_trailers_are_not_taken_for_headers() -> None:
    async with Harness(senders=SenderLimits()).serving() as harness, raw(harness) as (reader, writer):
        for _ in range(2):
            writer.write(CHUNKED + WHOLE + b"Authorization: Bearer none\r\n" * 1_000 + b"\r\n")
            assert await answer_of(reader) == (200, "")


async def test_a_body_in_pieces_of_a_byte_is_a_body() -> None:
    async with Harness(senders=SenderLimits(head_bytes=512)).serving() as harness, raw(harness) as (reader, writer):
        query = BODY + b" " * 2_000
        writer.write(CHUNKED)
        for byte in query:
            writer.write(b"1\r\n%c\r\n" % byte)
        writer.write(b"0\r\n\r\n")
        assert await answer_of(reader) == (200, "")


async def test_a_url_over_its_limit_is_414() -> None:
    async with Harness().serving() as harness:
        status, message = await exchange(harness, b"GET /graphql?" + b"a" * 8_200 + b" HTTP/1.1\r\nHost: covey\r\n\r\n")
    assert (status, "8192 bytes" in message) == (414, True)


async def test_heads_below_the_limit_and_bodies_beside_them_count_nothing_together() -> None:
    large = post(more=b"X-Large: " + b"a" * 20_000 + b"\r\n") + BODY
    async with Harness().serving() as harness, raw(harness) as (reader, writer):
        for _ in range(3):
            writer.write(large)
            assert (await answer_of(reader))[0] == 200


async def test_requests_sent_together_are_answered_in_their_order() -> None:
    async with Harness().serving() as harness, raw(harness) as (reader, writer):
        writer.write((post() + BODY) * 3)
        for _ in range(3):
            assert (await answer_of(reader))[0] == 200


async def test_what_is_no_http_is_400_in_json() -> None:
    async with Harness().serving() as harness:
        assert await exchange(harness, b"\x16\x03\x01\r\n\r\n") == (400, "This is no HTTP request.")


@pytest.mark.parametrize("upgrade", [UPGRADE, b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"])
@pytest.mark.parametrize("length", [0, len(BODY)])
async def test_a_post_that_asks_for_an_upgrade_is_400(upgrade: bytes, length: int) -> None:
    async with Harness().serving() as harness:
        status, message = await exchange(harness, post(more=upgrade, length=length) + BODY[:length])
    assert (status, "leave it out" in message) == (400, True)


@pytest.mark.parametrize("more", [b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_a_handshake_with_a_body_is_400(more: bytes) -> None:
    async with Harness().serving() as harness:
        status, _ = await exchange(harness, b"GET /graphql HTTP/1.1\r\nHost: covey\r\n" + UPGRADE + more + b"\r\n")
    assert status == 400


KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@pytest.mark.parametrize(
    ("given", "instead", "status"),
    [
        (KEY, b"", 400),
        (KEY, KEY + KEY, 400),
        (KEY, b"Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n", 400),
        (KEY, b"Sec-WebSocket-Key: no base64!\r\n", 400),
        (b"Version: 13", b"Version: 8", 426),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 426),
    ],
    ids=["no key", "two keys", "a short key", "no base64", "another version", "no version"],
)
async def test_a_handshake_that_is_none_is_told_why(given: bytes, instead: bytes, status: int) -> None:
    sent = b"GET /graphql HTTP/1.1\r\nHost: covey\r\n" + UPGRADE.replace(given, instead) + b"\r\n"
    async with Harness().serving() as harness:
        found, message = await exchange(harness, sent)
    assert (found, "Sec-WebSocket" in message) == (status, True)


async def test_a_handshake_of_another_version_is_told_which_is_spoken() -> None:
    upgrade = UPGRADE.replace(b"Version: 13", b"Version: 8")
    async with Harness().serving() as harness, raw(harness) as (reader, writer):
        writer.write(b"GET /graphql HTTP/1.1\r\nHost: covey\r\n" + upgrade + b"\r\n")
        assert b"sec-websocket-version: 13\r\n" in await rest_of(reader)


async def test_connections_over_the_ceiling_are_dropped_and_places_come_free() -> None:
    async with Harness(senders=SenderLimits(connections=2)).serving() as harness:
        async with raw(harness), raw(harness):
            async with raw(harness) as (reader, _):
                assert await rest_of(reader) == b""
            await eventually(lambda: harness.closes("crowded") == 1)
        async with client_of(harness) as client:
            await asyncio.sleep(0.05)
            assert (await client.post("/graphql", json={"query": "{ hello }"})).status_code == 200


def test_the_guard_still_is_the_servers_own_protocol() -> None:
    assert issubclass(SenderGuard, HttpToolsProtocol)
    hooks = ("on_url", "on_headers_complete", "on_message_complete", "send_400_response", "handle_websocket_upgrade")
    for hook in hooks:
        assert hasattr(HttpToolsProtocol, hook)


async def test_of_those_who_come_at_once_everybody_is_served(served: Harness) -> None:
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(raw(served)) for _ in range(60)]
        for _, writer in connections:
            writer.write(post() + BODY)
        connections[5][1].transport.abort()
        answers = [await answer_of(reader) for number, (reader, _) in enumerate(connections) if number != 5]
    assert answers == [(200, "")] * 59
