"""The client against whatever a wire may bring."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from payer.errors import ApiKeyInvalid
from payer.outcome import Answer, Broken, Outcome, Rejection, Throttled, Unfinished, Unreachable
from payer.stedi import MAX_ANSWER_BYTES, StediApi, StediClient
from tests.payer.conftest import JORDAN, KEY, NOON, REQUEST, FixedClock, client, plain_http, question

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ACTIVE = b'{"plans": [{"name": "Gold", "benefits": {"statuses": [{"status": "ACTIVE_COVERAGE"}]}}]}'


async def ask(http: httpx.AsyncClient, url: str, seconds: float = 30.0) -> Outcome:
    return await client(http, url, seconds=seconds).check(question(), REQUEST)


async def answered(response: httpx.Response, api: StediApi = StediApi.CURRENT) -> Outcome:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: response)) as http:
        return await client(http, "http://payer.test", api).check(question(), REQUEST)


async def failing(error: Exception) -> Outcome:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as http:
        return await ask(http, "http://payer.test")


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """A server that does as told with each connection, then closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def code_of(outcome: Outcome) -> str:
    assert not isinstance(outcome, Answer)
    return outcome.failure.code


# Requests.


@pytest.mark.parametrize(
    ("api", "path"),
    [
        (StediApi.CURRENT, "/2026-06-01/eligibility-check"),
        (StediApi.LEGACY, "/2024-04-01/change/medicalnetwork/eligibility/v3"),
    ],
)
async def test_one_request_is_sent_to_the_documented_path_with_the_key(api: StediApi, path: str) -> None:
    requests: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(503)

    async with httpx.AsyncClient(transport=httpx.MockTransport(note)) as http:
        await client(http, "http://payer.test/", api).check(question(dependent=JORDAN), REQUEST)
    (request,) = requests
    assert (request.method, str(request.url)) == ("POST", f"http://payer.test{path}")
    assert request.headers["authorization"] == KEY
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert isinstance(msgspec.json.decode(request.content), dict)


@pytest.mark.parametrize("key", ["", " 8Zq", "8Zq\n", "8Z\u00e9q", "8\x00Zq"])
async def test_a_key_that_cannot_be_a_header_is_refused_without_being_repeated(key: str) -> None:
    async with plain_http() as http:
        with pytest.raises(ApiKeyInvalid) as raised:
            StediClient(http, base_url="", api_key=key, api=StediApi.CURRENT, timeout_seconds=1, clock=FixedClock())
    assert not key or key not in str(raised.value)


async def test_the_key_and_the_question_are_in_no_log_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nnothing")
        await writer.drain()

    caplog.set_level(logging.DEBUG)
    async with listening(talk) as url, plain_http() as http:
        asking = client(http, url)
        outcomes = [await asking.check(question(), REQUEST)]
    outcomes.append(await failing(httpx.ConnectError("nobody")))
    said = caplog.text + repr(asking) + repr(vars(asking).keys()) + repr(outcomes)
    assert caplog.records
    assert KEY not in said
    assert "Jane" not in said
    assert "CARD1" not in said


# Answers.


async def test_an_answer_is_coverage_with_its_time_and_request() -> None:
    outcome = await answered(httpx.Response(200, content=ACTIVE))
    assert isinstance(outcome, Answer)
    coverage = outcome.coverage
    assert (coverage.obtained_at, coverage.request_id, coverage.payer_id) == (NOON, REQUEST, "SIMOK")
    assert coverage.plan_name == "Gold"


@pytest.mark.parametrize("http_status", [200, 400])
@pytest.mark.parametrize("api", list(StediApi))
async def test_an_aaa_error_counts_whatever_the_status(http_status: int, api: StediApi) -> None:
    body = {"errors": [{"code": "75", "followupAction": "Please Correct and Resubmit"}]}
    outcome = await answered(httpx.Response(http_status, json=body), api)
    assert isinstance(outcome, Rejection)
    assert (outcome.failure.code, outcome.failure.field) == ("75", "subscriber.memberId")
    assert outcome.failure.follow_up == "Please Correct and Resubmit"


async def test_79_depends_on_the_status() -> None:
    body = {"errors": [{"code": "79"}]}
    assert isinstance(await answered(httpx.Response(200, json=body)), Unreachable)
    assert isinstance(await answered(httpx.Response(400, json=body)), Rejection)


@pytest.mark.parametrize("holder", ["errors", "fieldList"])
async def test_a_validation_error_names_the_field(holder: str) -> None:
    body = {"message": "Jane Doe", holder: [{"path": "/subscriber/dateOfBirth", "message": "2000-01-01 is wrong"}]}
    outcome = await answered(httpx.Response(400, json=body))
    assert isinstance(outcome, Rejection)
    assert outcome.failure.field == "subscriber.dateOfBirth"
    assert "Jane" not in outcome.failure.message


@pytest.mark.parametrize("content", [b"", b"Payer X is not configured.", b"{}", ACTIVE])
async def test_any_other_400_is_a_refusal(content: bytes) -> None:
    outcome = await answered(httpx.Response(400, content=content))
    assert isinstance(outcome, Rejection)
    assert outcome.failure.code == "HTTP_400"


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"nul", b"null", b"[]", b"{}", b'{"plans": 1}', b"[" * 100_000, b'"\xff"', b"1e999"]
)
async def test_an_answer_that_cannot_be_read_is_broken(content: bytes) -> None:
    outcome = await answered(httpx.Response(200, content=content))
    assert isinstance(outcome, Broken)
    assert outcome.failure.code == "ANSWER_UNREADABLE"


async def test_a_status_other_than_200_and_400_counts_without_its_body() -> None:
    assert isinstance(await answered(httpx.Response(429, content=b"{")), Throttled)
    assert isinstance(await answered(httpx.Response(504)), Unreachable)
    assert isinstance(await answered(httpx.Response(302, headers={"location": "http://elsewhere.test"})), Broken)


async def test_an_endless_answer_is_cut_off() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    outcome = await answered(httpx.Response(200, content=endless()))
    assert isinstance(outcome, Broken)
    assert outcome.failure.code == "ANSWER_TOO_LARGE"
    assert sent <= MAX_ANSWER_BYTES + 2 * 65_536


async def test_a_body_that_stops_for_too_long_is_not_proven_over() -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"{"
        raise httpx.ReadTimeout("x")

    outcome = await answered(httpx.Response(200, content=stalling()))
    assert isinstance(outcome, Unfinished)
    assert outcome.timed_out


async def test_a_compressed_answer_that_is_not_what_it_says_is_broken() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope")
        await writer.drain()

    async with listening(talk) as url, plain_http() as http:
        outcome = await ask(http, url)
    assert isinstance(outcome, Broken)


# Connections.


async def test_a_refused_connection_was_never_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with plain_http() as http:
            outcome = await ask(http, url)
    assert isinstance(outcome, Broken)
    assert outcome.failure.code == "NOT_SENT"


@pytest.mark.parametrize(
    "error",
    [httpx.ConnectTimeout("x"), httpx.PoolTimeout("x"), httpx.UnsupportedProtocol("x"), httpx.ConnectError("x")],
)
async def test_what_fails_before_sending_is_over(error: Exception) -> None:
    outcome = await failing(error)
    assert isinstance(outcome, Broken)
    assert outcome.failure.code == "NOT_SENT"


@pytest.mark.parametrize("error", [httpx.ReadTimeout("x"), httpx.WriteTimeout("x"), TimeoutError()])
async def test_what_runs_out_of_time_is_not_proven_over(error: Exception) -> None:
    outcome = await failing(error)
    assert isinstance(outcome, Unfinished)
    assert outcome.timed_out
    assert outcome.failure.code == "TIMEOUT"


@pytest.mark.parametrize("error", [httpx.ReadError("x"), httpx.WriteError("x"), httpx.RemoteProtocolError("x")])
async def test_a_connection_lost_before_the_answer_is_not_proven_over(error: Exception) -> None:
    outcome = await failing(error)
    assert isinstance(outcome, Unfinished)
    assert not outcome.timed_out
    assert outcome.failure.code == "CONNECTION_LOST"


async def test_a_silent_server_runs_out_of_time() -> None:
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await ended.wait()

    async with listening(talk) as url, plain_http() as http:
        outcome = await ask(http, url, seconds=0.2)
        ended.set()
    assert isinstance(outcome, Unfinished)
    assert outcome.timed_out


async def test_a_body_that_stalls_runs_out_of_time() -> None:
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{")
        await writer.drain()
        await ended.wait()

    async with listening(talk) as url, plain_http() as http:
        outcome = await ask(http, url, seconds=0.2)
        ended.set()
    assert isinstance(outcome, Unfinished)
    assert outcome.timed_out


async def test_a_server_that_hangs_up_without_an_answer_is_not_proven_over() -> None:
    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with listening(talk) as url, plain_http() as http:
        outcome = await ask(http, url)
    assert isinstance(outcome, Unfinished)
    assert not outcome.timed_out


async def test_a_server_that_hangs_up_within_its_answer_is_over() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{")
        await writer.drain()

    async with listening(talk) as url, plain_http() as http:
        outcome = await ask(http, url)
    assert code_of(outcome) == "ANSWER_CUT_OFF"
    assert isinstance(outcome, Broken)


async def test_a_cancelled_check_is_cancelled() -> None:
    called = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        called.set()
        await reader.read()

    async with listening(talk) as url, plain_http() as http:
        task = asyncio.create_task(ask(http, url))
        await called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
