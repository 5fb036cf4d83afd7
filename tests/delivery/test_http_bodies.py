"""Bodies the HTTP door does not take, and how little of them it reads."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from structlog.testing import capture_logs

from tests.delivery.harness import Harness, client_of, error_code
from tests.delivery.issued import member_token

TOKEN = member_token()


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/graphql"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": ""},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
async def test_a_body_that_is_not_declared_as_json_is_415(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post("/graphql", content=b'{"query": "{ hello }"}', headers=headers)
    assert (answer.status_code, error_code(answer)) == (415, "BAD_USER_INPUT")


async def test_a_charset_of_utf_8_is_good(client: httpx.AsyncClient) -> None:
    headers = {"content-type": 'Application/JSON; Charset="UTF-8"', "content-encoding": "identity"}
    assert (await client.post("/graphql", content=b'{"query": "{ hello }"}', headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"query": "{ hello }"} x', "not JSON"),
        (b'{"query": "\xff"}', "not JSON"),
        (b'\xef\xbb\xbf{"query": "{ hello }"}', "not JSON"),
        (b'{"query": "\\ud800"}', "not JSON"),
        (b'{"query": "{ hello }", "variables": {"a": NaN}}', "not JSON"),
        (b'{"query": "{ hello }", "variables": {"a": Infinity}}', "not JSON"),
        (b'{"query": "{ hello }", "variables": {"a": -Infinity}}', "not JSON"),
        (b'{"query": "{ hello }", "variables": {"a": 1e999}}', "a number is too large - at `$.variables"),
        (b'{"query": "{ hello }", "variables": {"a": [-1e400]}}', "a number is too large - at `$.variables"),
        (b'{"query": "{ hello }", "variables": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}", "not JSON"),
        (b"0", "no GraphQL request"),
        (b"null", "no GraphQL request"),
        (b'"x"', "no GraphQL request"),
        (b"true", "no GraphQL request"),
        (b"[]", "Batches"),
        (b' [{"query": "{ hello }"}]', "Batches"),
        (b"{}", "no GraphQL request"),
        (b'{"query": null}', "no GraphQL request"),
        (b'{"query": 5}', "Expected `String`, got `Int`"),
        (b'{"query": ["{ hello }"]}', "no GraphQL request"),
        (b'{"query": "{ hello }", "variables": []}', "no GraphQL request"),
        (b'{"query": "{ hello }", "variables": "{}"}', "no GraphQL request"),
        (b'{"query": "{ hello }", "operationName": 5}', "no GraphQL request"),
        (b'{"query": "{ hello }", "extensions": []}', "no GraphQL request"),
        (b'{"query": "{ hello }", "extensions": "x"}', "no GraphQL request"),
    ],
)
async def test_a_body_that_is_no_graphql_request_is_400_with_one_message_and_one_line_of_log(
    client: httpx.AsyncClient, body: bytes, said: str
) -> None:
    with capture_logs() as logs:
        answer = await client.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, error_code(answer)) == (400, "BAD_USER_INPUT")
    assert said in answer.json()["errors"][0]["message"]
    assert "msgspec" not in answer.text
    assert [entry["event"] for entry in logs] == ["request_refused"]


async def test_a_wrong_value_is_not_repeated(client: httpx.AsyncClient) -> None:
    answer = await client.post("/graphql", json={"query": "{ hello }", "variables": "Smith"})
    assert "Smith" not in answer.text
    assert "$.variables" in answer.text


def head(*headers: str) -> bytes:
    lines = ["POST /graphql HTTP/1.1", "Host: covey", f"Authorization: Bearer {TOKEN}", *headers, "", ""]
    return "\r\n".join(["Content-Type: application/json" if line == "json" else line for line in lines]).encode()


async def raw(harness: Harness, *parts: bytes) -> bytes:
    """Send the parts, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", harness.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("length", [64 * 1024 + 1, 50_000_000, 10**30])
async def test_a_body_announced_over_the_limit_is_413_before_any_of_it_is_sent(served: Harness, length: int) -> None:
    answer = await raw(served, head("json", f"Content-Length: {min(length, 2**62)}"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer
    assert b'"BAD_USER_INPUT"' in answer


async def test_a_chunked_body_is_413_as_soon_as_it_is_over_the_limit_and_the_rest_is_not_read(served: Harness) -> None:
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    answer = await raw(served, head("json", "Transfer-Encoding: chunked"), *[chunk] * 4, b"1\r\nx\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


async def test_a_body_at_the_limit_is_read(client: httpx.AsyncClient) -> None:
    body = b'{"query": "{ hello }"'
    answer = await client.post(
        "/graphql",
        content=body + b" " * (64 * 1024 - len(body) - 1) + b"}",
        headers={"content-type": "application/json"},
    )
    assert answer.json() == {"data": {"hello": "hello"}}


async def test_a_bad_token_is_refused_before_the_body_is_sent(served: Harness) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(head("json", "Content-Length: 100").replace(TOKEN.encode(), b"a.b.c"))
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()


async def test_a_client_that_hangs_up_half_way_through_its_body_is_no_error(served: Harness) -> None:
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(head("json", "Content-Length: 100") + b'{"query":')
        await writer.drain()
        writer.transport.abort()
        async with client_of(served) as client:
            assert (await client.post("/graphql", json={"query": "{ hello }"})).status_code == 200
    assert logs == []
