"""The HTTP door: what it answers, and what it refuses before it costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.responses import HTMLResponse
from structlog.testing import capture_logs

from tests.delivery.harness import (
    SECRET,
    CodedSchema,
    Harness,
    Mutation,
    Query,
    http_client,
    member_token,
    service_token,
    sign,
)
from tests.delivery.test_tokens import caller

GRAPHQL = "application/graphql-response+json"
TOKEN = member_token()


@pytest.fixture
async def client(served: Harness) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(served) as client:
        yield client


def client_of(harness: Harness, token: str = TOKEN) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"}
    return http_client(base_url=harness.url.removesuffix("/graphql"), headers=headers)


def code(answer: httpx.Response) -> str:
    (error,) = answer.json()["errors"]
    assert error["message"]
    return str(error["extensions"]["code"])


async def test_a_query_and_a_mutation_are_answered(client: httpx.AsyncClient) -> None:
    answer = await client.post("/graphql", json={"query": "{ who }"})
    assert answer.status_code == 200
    assert answer.json() == {"data": {"who": "acme/m-1"}}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert "server" not in answer.headers
    body = {
        "query": "query a { hello } mutation b($by: Int!) { bump(by: $by) }",
        "operationName": "b",
        "variables": {"by": 3},
        "extensions": {"anything": [1]},
        "unknown": True,
    }
    assert (await client.post("/graphql", json=body)).json() == {"data": {"bump": 3}}


async def test_null_members_are_as_absent_ones(client: httpx.AsyncClient) -> None:
    body = {"query": "{ hello }", "operationName": None, "variables": None, "extensions": None}
    assert (await client.post("/graphql", json=body)).json() == {"data": {"hello": "hello"}}


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON; charset=utf-8", "application/json"),
        (f"{GRAPHQL}, application/json;q=0.9", GRAPHQL),
        (f"application/json;q=0.5, {GRAPHQL};q=0.8", GRAPHQL),
        (f"{GRAPHQL}, application/graphql+json, application/json, text/event-stream, multipart/mixed", GRAPHQL),
        ("text/event-stream, multipart/mixed, application/json", "application/json"),
        ('multipart/mixed;subscriptionSpec="1.0", application/json', "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        (f"application/json;q=0, {GRAPHQL};q=0.1", GRAPHQL),
        (f"application/json;q=x, {GRAPHQL};q=nan, */*;level=1;q=9", "application/json"),
    ],
)
async def test_the_answer_takes_the_form_that_accept_allows(
    client: httpx.AsyncClient, accept: str | None, form: str
) -> None:
    client.headers.pop("accept")
    headers = {} if accept is None else {"accept": accept}
    answer = await client.post("/graphql", json={"query": "{ hello }"}, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"{form}; charset=utf-8")


@pytest.mark.parametrize(
    "accept", ["text/event-stream", "text/html", "application/json;q=0", "image/*", "x", ";;;", "a," * 60 + "*/*"]
)
async def test_an_accept_that_allows_no_json_is_406(client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.post("/graphql", json={"query": "{ hello }"}, headers={"accept": accept})
    assert (answer.status_code, code(answer)) == (406, "BAD_USER_INPUT")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post_operates(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/graphql", params={"query": "{ hello }"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method == "GET":
        assert code(answer) == "BAD_USER_INPUT"
        assert "preferGetMethod: false" in answer.text
        assert "URLs" in answer.text


async def test_a_browser_gets_the_page_where_there_is_one_and_405_where_not(served: Harness) -> None:
    headers = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with client_of(served) as client:
        assert (await client.get("/graphql", headers=headers)).status_code == 405
    async with Harness(page=HTMLResponse("<h1>GraphiQL</h1>")).serving() as harness, client_of(harness) as client:
        assert (await client.get("/graphql", headers=headers)).text == "<h1>GraphiQL</h1>"
        assert (await client.get("/graphql", headers={"accept": "*/*"})).status_code == 405
        assert (await client.post("/graphql", json={"query": "{ hello }"}, headers=headers)).status_code == 200


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
    assert (answer.status_code, code(answer)) == (415, "BAD_USER_INPUT")


async def test_a_charset_of_utf_8_is_good(client: httpx.AsyncClient) -> None:
    headers = {"content-type": 'Application/JSON; Charset="UTF-8"', "content-encoding": "identity"}
    assert (await client.post("/graphql", content=b'{"query": "{ hello }"}', headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        (None, "A token is needed"),
        ("", "must be `Bearer`"),
        ("Bearer", "must be `Bearer`"),
        ("Basic abc", "must be `Bearer`"),
        ("Bearer a.b.c", "no token"),
        (f"Bearer {sign(exp=5)}", "has ended"),
        (f"Bearer {TOKEN}, Bearer {TOKEN}", "token"),
    ],
)
async def test_a_missing_or_bad_token_is_401(served: Harness, authorization: str | None, said: str) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    async with http_client() as client:
        answer = await client.post(served.url, json={"query": "{ hello }"}, headers=headers)
    assert (answer.status_code, code(answer)) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert said in answer.json()["errors"][0]["message"]
    assert "a.b.c" not in answer.text


async def test_two_authorization_headers_are_refused(served: Harness) -> None:
    async with http_client() as client:
        headers = [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {member_token('m-2')}")]
        assert (await client.post(served.url, json={"query": "{ hello }"}, headers=headers)).status_code == 401


async def test_the_scheme_may_be_in_any_case(served: Harness) -> None:
    async with http_client() as client:
        headers = {"authorization": f"bEARER {TOKEN}"}
        assert (await client.post(served.url, json={"query": "{ hello }"}, headers=headers)).status_code == 200


async def test_a_connect_token_is_refused_over_http(served: Harness) -> None:
    token = served.connect_tokens.issue(caller()).token
    async with client_of(served, token) as client:
        answer = await client.post("/graphql", json={"query": "{ hello }"})
    assert (answer.status_code, code(answer)) == (401, "UNAUTHENTICATED")


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
        (b'{"query": "{ hello }", "variables": {"a": 1e999}}', "no GraphQL request"),
        (b'{"query": "{ hello }", "variables": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}", "not JSON"),
        (b"0", "no GraphQL request"),
        (b"null", "no GraphQL request"),
        (b'"x"', "no GraphQL request"),
        (b"true", "no GraphQL request"),
        (b"[]", "Batches"),
        (b' [{"query": "{ hello }"}]', "Batches"),
        (b"{}", "no GraphQL request"),
        (b'{"query": null}', "no GraphQL request"),
        (b'{"query": 5}', "no GraphQL request"),
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
    assert (answer.status_code, code(answer)) == (400, "BAD_USER_INPUT")
    assert said in answer.json()["errors"][0]["message"]
    assert "msgspec" not in answer.text
    assert [entry["event"] for entry in logs] == ["request_refused"]


async def test_a_wrong_value_is_not_repeated(client: httpx.AsyncClient) -> None:
    answer = await client.post("/graphql", json={"query": "{ hello }", "variables": "Smith"})
    assert "Smith" not in answer.text
    assert "$.variables" in answer.text


REFUSED_BY_GRAPHQL: list[dict[str, Any]] = [
    {"query": ""},
    {"query": "{"},
    {"query": "{ nothing }"},
    {"query": "query a { hello }", "operationName": "Smith"},
    {"query": "fragment A on Query { hello }"},
    {"query": "query ($n: Int!) { echo(number: $n) }", "variables": {"n": "x"}},
    {"query": "query ($n: Int!) { echo(number: $n) }", "variables": {"n": 10**30}},
    {"query": "subscription { forever }"},
]


@pytest.mark.parametrize("body", REFUSED_BY_GRAPHQL)
async def test_what_graphql_refuses_is_200_in_json_and_400_in_its_own_type_without_data(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    for accept, status in (("application/json", 200), (GRAPHQL, 400)):
        answer = await client.post("/graphql", json=body, headers={"accept": accept})
        assert answer.status_code == status
        assert "data" not in answer.json()
        assert {error["extensions"]["code"] for error in answer.json()["errors"]} == {"BAD_USER_INPUT"}
        assert "Smith" not in answer.text


async def test_a_subscription_over_plain_http_is_sent_to_the_websocket(client: httpx.AsyncClient) -> None:
    answer = await client.post("/graphql", json={"query": "subscription { forever }"})
    assert "WebSocket" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("accept", ["application/json", GRAPHQL])
async def test_failed_fields_come_with_data_and_200_and_unexpected_ones_are_masked(
    client: httpx.AsyncClient, accept: str
) -> None:
    with capture_logs() as logs:
        answer = await client.post("/graphql", json={"query": "{ hello forbidden boom }"}, headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.json()["data"] == {"hello": "hello", "forbidden": None, "boom": None}
    by_path = {error["path"][0]: error["extensions"] for error in answer.json()["errors"]}
    assert by_path["forbidden"] == {"code": "FORBIDDEN"}
    assert by_path["boom"]["code"] == "INTERNAL"
    assert SECRET not in answer.text
    (logged,) = [entry for entry in logs if entry["event"] == "internal_error"]
    assert logged["error_id"] == by_path["boom"]["errorId"]
    assert logged["error_type"] == "ValueError"
    assert any("boom" in frame for frame in logged["frames"])
    assert SECRET not in str(logs)


async def test_an_unexpected_exception_is_500_with_an_id_that_the_log_has() -> None:
    def broken(caller: object) -> object:
        raise ValueError(SECRET)

    async with Harness(context_factory=broken).serving() as harness, client_of(harness) as client:
        with capture_logs() as logs:
            answer = await client.post("/graphql", json={"query": "{ hello }"})
        assert (answer.status_code, code(answer)) == (500, "INTERNAL")
        assert logs[0]["error_id"] == answer.json()["errors"][0]["extensions"]["errorId"]
        assert SECRET not in answer.text + str(logs)


async def test_an_exception_inside_execution_without_data_is_500_in_graphqls_own_type() -> None:
    class Broken(CodedSchema):
        async def _prepare_operation_async(self, *args: object) -> None:
            raise ValueError(SECRET)

    async with (
        Harness(schema=Broken(query=Query, mutation=Mutation)).serving() as harness,
        client_of(harness) as client,
    ):
        answer = await client.post("/graphql", json={"query": "{ hello }"}, headers={"accept": GRAPHQL})
        assert (answer.status_code, code(answer)) == (500, "INTERNAL")
        assert SECRET not in answer.text


async def test_extensions_of_a_result_are_passed_on() -> None:
    from strawberry.extensions import SchemaExtension

    class Cost(SchemaExtension):
        def get_results(self) -> dict[str, object]:
            return {"cost": 1}

    schema = CodedSchema(query=Query, mutation=Mutation, extensions=[Cost])
    async with Harness(schema=schema).serving() as harness, client_of(harness) as client:
        assert (await client.post("/graphql", json={"query": "{ hello }"})).json()["extensions"] == {"cost": 1}


async def test_over_the_rate_it_is_429_for_members_and_not_for_services() -> None:
    async with Harness(operations_per_second=1, burst=2).serving() as harness:
        async with client_of(harness) as client:
            answers = [await client.post("/graphql", json={"query": "{ hello }"}) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429]
            assert code(answers[2]) == "RATE_LIMITED"
            assert answers[2].headers["retry-after"] == "1"
            harness.clock.advance(1)
            assert (await client.post("/graphql", json={"query": "{ hello }"})).status_code == 200
        async with client_of(harness, service_token()) as client:
            answers = [await client.post("/graphql", json={"query": "{ hello }"}) for _ in range(5)]
            assert {answer.status_code for answer in answers} == {200}


async def test_both_doors_count_on_one_bucket() -> None:
    async with Harness(operations_per_second=1, burst=1).serving() as harness, harness.member() as talk:
        async with client_of(harness) as client:
            assert (await client.post("/graphql", json={"query": "{ hello }"})).status_code == 200
        await talk.subscribe("1", "{ hello }")
        assert (await talk.receive())["payload"][0]["extensions"]["code"] == "RATE_LIMITED"


async def test_in_a_drain_it_is_503_and_the_connection_closes(served: Harness, client: httpx.AsyncClient) -> None:
    await served.drain.run()
    answer = await client.post("/graphql", json={"query": "{ hello }"})
    assert (answer.status_code, code(answer)) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["connection"] == "close"


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
