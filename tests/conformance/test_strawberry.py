"""What Strawberry's own suites hold its doors to, held against ours; each test says which of theirs it follows.

Theirs are `tests/websockets/test_graphql_transport_ws.py`, `tests/http/test_query.py` and, after GraphQL over HTTP's
audits, `tests/http/test_graphql_over_http_spec.py`. Ours differ by contract, and are tested as they differ: a document
that is not valid leaves the socket open (theirs closes it), a pong repeats its ping's payload, a token is needed, GET
asks nothing, introspection is development's, and there are no batches, uploads, root values or legacy protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.conformance.conversations import CHECKPOINT, ME, MINE, hold
from tests.conformance.wire import wire
from tests.system.program import Server

GRAPHQL = "application/graphql-response+json"
NAMED = "query Named { __typename }"
DOCUMENT = {"query": "{ __typename }"}


@pytest.fixture
async def client(program: Server, token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=program.url, headers={"authorization": f"Bearer {token}"}, trust_env=False
    ) as client:
        yield client


# test_graphql_transport_ws.py


async def test_connection_init_timeout_cancellation(program: Server, token: str) -> None:
    """A socket that said who it is in time is not closed when the time is up."""
    async with wire(program.port) as talk:
        await hold(talk, ["> init", "< ack"], token)
        await asyncio.sleep(1.2)  # the limit is 1 s here
        await hold(talk, ["> {" + f'"id": "1", {MINE}' + "}", '< {"id": "1", "type": "next", "payload": "*"}'], token)


async def test_close_twice(program: Server, token: str) -> None:
    """Two reasons to close in one packet are one close."""
    async with wire(program.port) as talk:
        await hold(talk, ["> init", "< ack", '> {"type": "none"}', '> {"type": "none"}', "< closed 4400"], token)
        assert (await talk.closed()).code == 1006


async def test_reused_operation_ids(program: Server, token: str) -> None:
    """An id may be used again as soon as its operation has ended, however it ended, and again and again."""
    ended = [
        f'> {{"id": "1", {ME}}}',
        '< {"id": "1", "type": "next", "payload": "*"}',
        '< {"id": "1", "type": "complete"}',
    ]
    failed = ['> {"id": "1", "query": "{"}', '< {"id": "1", "type": "error", "payload": "*"}']
    stopped = [
        f'> {{"id": "1", {MINE}}}',
        f'< {{"id": "1", "type": "next", "payload": {CHECKPOINT}}}',
        '> {"type": "complete", "id": "1"}',
    ]
    async with wire(program.port) as talk:
        await talk.init(token)
        await hold(talk, (ended + failed + stopped) * 2, token)


async def test_subscription_cancellation(program: Server, token: str) -> None:
    """Stopping one stream leaves the other, and frees its place."""
    async with wire(program.port) as talk:
        await talk.init(token)
        for number in range(8):  # twice as many as may run at once
            lines = [f'> {{"id": "{number}", {MINE}}}', f'< {{"id": "{number}", "type": "next", "payload": "*"}}']
            await hold(talk, [*lines, f'> {{"type": "complete", "id": "{number}"}}'] if number else lines, token)
        await hold(talk, [f'> {{"id": "0", {MINE}}}', "< closed 4409"], token)


async def test_operation_selection(program: Server, token: str) -> None:
    """Of several operations the named one runs, whichever its kind."""
    document = "query A { me { __typename } } subscription B { payerEvents { __typename } }"
    async with wire(program.port) as talk:
        await talk.init(token)
        for name, field in (("A", "me"), ("B", "payerEvents")):
            await talk.say({"type": "subscribe", "id": name, "payload": {"query": document, "operationName": name}})
            heard: Any = await talk.hear()
            assert (heard["id"], heard["type"], [*heard["payload"]["data"]]) == (name, "next", [field])
            if name == "A":
                assert await talk.hear() == {"type": "complete", "id": "A"}


async def test_no_extensions_results_wont_send_extensions_in_payload(program: Server, token: str) -> None:
    async with wire(program.port) as talk:
        await talk.init(token)
        await talk.say({"type": "subscribe", "id": "1", "payload": DOCUMENT})
        assert await talk.hear() == {"type": "next", "id": "1", "payload": {"data": {"__typename": "Query"}}}


async def test_long_validation_concurrent_query(program: Server, token: str) -> None:
    """Operations that are started at once all end, each under its own id."""
    async with wire(program.port) as talk:
        await talk.init(token)
        for number in range(4):
            await talk.say({"type": "subscribe", "id": str(number), "payload": DOCUMENT})
        heard: list[Any] = [await talk.hear() for _ in range(8)]
    for number in range(4):
        assert [each["type"] for each in heard if each["id"] == str(number)] == ["next", "complete"]


# test_query.py, and GraphQL over HTTP's audits


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (GRAPHQL, GRAPHQL),  # 22EB
        ("application/json", "application/json"),  # 4655
        ("*/*", "application/json"),  # 47DE
        (None, "application/json"),  # 80D8
    ],
)
async def test_the_answer_is_in_the_form_that_is_accepted(
    client: httpx.AsyncClient, accept: str | None, form: str
) -> None:
    request = client.build_request("POST", "/graphql", json=DOCUMENT)
    del request.headers["accept"]
    if accept is not None:
        request.headers["accept"] = accept
    answer = await client.send(request)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{form}; charset=utf-8"  # 82A3
    assert answer.content.decode() and answer.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("accept", [GRAPHQL, "application/json"])
@pytest.mark.parametrize(
    "body",
    [
        {"query": NAMED, "operationName": "Named"},  # 8161, B8B3
        *({**DOCUMENT, name: None} for name in ("variables", "operationName", "extensions")),  # 94B0 to 2, 0220 to 2
        {
            "query": "query Q($a: String!) { payers(search: $a) { __typename } }",
            "variables": {"a": "Run🏃"},
        },  # 28B9, BF61
        {**DOCUMENT, "extensions": {"some": "value"}},  # 428F, 1B7A, 39AA
    ],
)
async def test_what_a_request_may_hold_is_taken(
    client: httpx.AsyncClient, accept: str, body: dict[str, object]
) -> None:
    answer = await client.post("/graphql", json=body, headers={"accept": accept})
    assert answer.status_code == 200
    assert "errors" not in answer.json()


@pytest.mark.parametrize("accept", [GRAPHQL, "application/json"])
@pytest.mark.parametrize(
    "body",
    [
        b"",  # A5BF
        b'{ "not a JSON',  # B6DC, BCF8
        b'{"qeury": "{ __typename }"}',  # 8764, 3E3A, 423L
        *(b'{"query": %s}' % wrong for wrong in (b'{"obj": "ect"}', b"0", b"false", b'["array"]')),  # LKJ0 to 3
        *(
            b'{"query": "{ __typename }", "operationName": %s}' % wrong  # 6C00 to 3
            for wrong in (b'{"obj": "ect"}', b"0", b"false", b'["array"]')
        ),
        *(
            b'{"query": "{ __typename }", "%s": %s}' % (name, wrong)  # 4760 to 3, 58B0 to 3
            for name in (b"variables", b"extensions")
            for wrong in (b'"string"', b"0", b"false", b'["array"]')
        ),
        b'[{"query": "{ __typename }"}]',  # a batch
    ],
)
async def test_what_is_no_request_is_400(client: httpx.AsyncClient, accept: str, body: bytes) -> None:
    headers = {"accept": accept, "content-type": "application/json"}
    answer = await client.post("/graphql", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("document", ["{", "{ none }", "query Q($a: Int!) { __typename }", ""])
async def test_what_graphql_refuses_is_200_in_json_and_400_without_data_in_its_own_form(
    client: httpx.AsyncClient, document: str
) -> None:
    """572B, DFE2, 7B9B, 51FE, 74FF, 5E5B, 86EE, 865D, 556A."""
    for accept, status in (("application/json", 200), (GRAPHQL, 400)):
        answer = await client.post("/graphql", json={"query": document}, headers={"accept": accept})
        assert answer.status_code == status
        assert answer.json().keys() == {"errors"}


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_only_post_operates(client: httpx.AsyncClient, method: str) -> None:
    """test_the_http_handler_only_allows_supported_methods; 9C48; by contract GET, too."""
    answer = await client.request(method, "/graphql", params={"query": "mutation { __typename }"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_without_a_media_type_it_is_415(client: httpx.AsyncClient) -> None:
    """9ABE."""
    assert (await client.post("/graphql", content=b'{"query": "{ __typename }"}')).status_code == 415


async def test_of_several_operations_one_must_be_named(client: httpx.AsyncClient) -> None:
    """test_operation_selection and its likes, over HTTP."""
    several = "query A { __typename } query B { me { __typename } }"
    for name, data in (("B", {"me": {"__typename": "Me"}}), ("A", {"__typename": "Query"}), ("C", None), (None, None)):
        answer = await client.post("/graphql", json={"query": several, "operationName": name})
        assert answer.json().get("data") == data
        assert ("errors" in answer.json()) == (data is None)
