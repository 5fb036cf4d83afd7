"""The HTTP door: what it answers, and what it refuses before it costs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.responses import HTMLResponse
from structlog.testing import capture_logs

from tests.delivery.harness import Harness, client_of, error_code, http_client
from tests.delivery.issued import member_token, service_token, sign
from tests.delivery.sample_schema import SECRET, CodedSchema, Mutation, Query
from tests.delivery.test_tokens import caller
from tests.schema.asking import made

GRAPHQL = "application/graphql-response+json"
TOKEN = member_token()


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


async def test_of_several_operations_one_must_be_named_at_both_doors() -> None:
    several = "query a { __typename } query b { __typename }"
    async with Harness(schema=made()).serving() as harness, client_of(harness) as client, harness.member() as talk:
        answer = await client.post("/graphql", json={"query": several})
        assert (error_code(answer), "data" in answer.json()) == ("BAD_USER_INPUT", False)
        assert "operation" in answer.json()["errors"][0]["message"]
        await talk.subscribe("1", several)
        message = await talk.receive()
        assert (message["type"], message["payload"]) == ("error", answer.json()["errors"])
        named = await client.post("/graphql", json={"query": several, "operationName": "b"})
        assert named.json() == {"data": {"__typename": "Query"}}


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
    "accept", ["multipart/mixed", "text/html", "application/json;q=0", "image/*", "x", ";;;", "a," * 60 + "*/*"]
)
async def test_an_accept_that_allows_no_json_is_406(client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.post("/graphql", json={"query": "{ hello }"}, headers={"accept": accept})
    assert (answer.status_code, error_code(answer)) == (406, "BAD_USER_INPUT")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post_operates(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/graphql", params={"query": "{ hello }"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method == "GET":
        assert error_code(answer) == "BAD_USER_INPUT"
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
    ("authorization", "said"),
    [
        (None, "A token is needed"),
        ("", "must be `Bearer`"),
        ("Bearer", "must be `Bearer`"),
        ("Basic abc", "must be `Bearer`"),
        ("Bearer a.b.c", "not a JWT"),
        (f"Bearer {sign(exp=5)}", "has ended"),
        (f"Bearer {TOKEN}, Bearer {TOKEN}", "token"),
    ],
)
async def test_a_missing_or_bad_token_is_401(served: Harness, authorization: str | None, said: str) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    async with http_client() as client:
        answer = await client.post(served.url, json={"query": "{ hello }"}, headers=headers)
    assert (answer.status_code, error_code(answer)) == (401, "UNAUTHENTICATED")
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
    assert (answer.status_code, error_code(answer)) == (401, "UNAUTHENTICATED")


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
        assert (answer.status_code, error_code(answer)) == (500, "INTERNAL")
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
        assert (answer.status_code, error_code(answer)) == (500, "INTERNAL")
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
            assert error_code(answers[2]) == "RATE_LIMITED"
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
    assert (answer.status_code, error_code(answer)) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["connection"] == "close"
