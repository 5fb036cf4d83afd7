"""Subscriptions as Server-Sent Events, byte for byte."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from delivery.errors import ErrorCode
from tests.delivery.harness import Harness, client_of, error_code, eventually, http_client
from tests.delivery.numbered_schema import NUMBERED
from tests.delivery.sample_schema import SECRET
from tests.delivery.streaming import EVENTS, MULTIPART, numbers, sample, subscribed
from tests.delivery.test_tokens import caller

NUMBERS = "subscription { numbers(to: 3) { number } }"
LIVE = "subscription { numbers(to: 3, live: true) { number } }"
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)


def numbered() -> Harness:
    return Harness(schema=NUMBERED)


async def test_each_item_is_an_event_with_its_cursor_as_id_and_a_complete_event_ends_it() -> None:
    async with numbered().serving() as harness, subscribed(harness, NUMBERS) as body:
        assert body.response.status_code == 200
        assert body.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert body.response.headers["cache-control"] == "no-store"
        assert body.response.headers["x-accel-buffering"] == "no"
        assert (await body.rest()).decode() == (
            ":\n\n"
            'event: next\nid: 1\ndata: {"data":{"numbers":{"number":1}}}\n\n'
            'event: next\nid: 2\ndata: {"data":{"numbers":{"number":2}}}\n\n'
            'event: next\nid: 3\ndata: {"data":{"numbers":{"number":3}}}\n\n'
            "event: complete\ndata:\n\n"
        )
        assert sample(harness, "covey_deliveries_total", door="sse") == 3


@pytest.mark.parametrize(
    ("query", "more"),
    [
        (NUMBERS, {}),
        ('subscription { numbers(to: 3, after: "1") { number } }', {}),
        ("subscription ($a: Cursor) { numbers(to: 3, after: $a) { number } }", {}),
        ("subscription ($a: Cursor) { numbers(to: 3, after: $a) { number } }", {"variables": {"a": "1"}}),
        ("subscription ($t: Int!) { numbers(to: $t) { number } }", {"variables": {"t": 3}}),
        ("subscription { ...F } fragment F on Subscription { numbers(to: 3) { number } }", {}),
        ("subscription { ... { numbers(to: 3) { number } } }", {}),
        (
            "query a { ...Q } subscription b { ...F } subscription c { ...F } "
            "fragment F on Subscription { numbers(to: 3) { number } } fragment Q on Query { hello }",
            {"operationName": "b"},
        ),
        ("subscription ($coveyAfter: Int!) { numbers(to: $coveyAfter) { number } }", {"variables": {"coveyAfter": 3}}),
    ],
)
async def test_last_event_id_alone_resumes_and_goes_before_after_however_the_document_is_written(
    query: str, more: dict[str, Any]
) -> None:
    async with numbered().serving() as harness, subscribed(harness, query, cursor="2", **more) as body:
        *events, end = await body.events(2)
        assert numbers(events) == [("3", 3)]
        assert end == {"event": "complete", "data": ""}


async def test_without_last_event_id_the_clients_own_after_holds() -> None:
    query = 'subscription { numbers(to: 3, after: "1") { number } }'
    for cursor in (None, ""):
        async with numbered().serving() as harness, subscribed(harness, query, cursor=cursor) as body:
            assert numbers(await body.events(2)) == [("2", 2), ("3", 3)]


@pytest.mark.parametrize(
    "query",
    [
        "subscription {",
        "subscription { nothing }",
        "subscription { missing }",
        "subscription a { forever } subscription b { forever }",
        "subscription ($n: Int!) { count(to: $n) }",
        "",
        "{ echo(number: 1.5) }",
    ],
)
async def test_what_is_refused_is_one_item_with_errors_and_then_the_end(query: str) -> None:
    async with numbered().serving() as harness, subscribed(harness, query) as body:
        assert body.response.status_code == 200
        item, end = await body.events(2)
        errors = msgspec.json.decode(item["data"])["errors"]
        assert {error["extensions"]["code"] for error in errors} <= {"BAD_USER_INPUT", "NOT_FOUND"}
        assert "id" not in item
        assert end["event"] == "complete"
        assert await body.rest() == b""


async def test_a_stream_that_breaks_off_says_so_in_an_item_without_its_reasons() -> None:
    async with numbered().serving() as harness, subscribed(harness, "subscription { breaks }") as body:
        first, broken, end = await body.events(3)
        assert msgspec.json.decode(first["data"]) == {"data": {"breaks": 1}}
        assert msgspec.json.decode(broken["data"])["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert SECRET not in broken["data"]
        assert end["event"] == "complete"


async def test_an_unexpected_exception_of_the_door_is_masked_too() -> None:
    def broken(_: object) -> object:
        raise ValueError(SECRET)

    async with Harness(context_factory=broken).serving() as harness, subscribed(harness, NUMBERS) as body:
        item, end = await body.events(2)
        assert msgspec.json.decode(item["data"])["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert SECRET not in item["data"]
        assert end["event"] == "complete"


async def test_queries_and_mutations_are_events_only_where_the_client_reads_nothing_else() -> None:
    async with numbered().serving() as harness:
        for query, data in (("{ hello }", {"hello": "hello"}), ("mutation { bump(by: 2) }", {"bump": 2})):
            async with client_of(harness) as client:
                answer = await client.post("/graphql", json={"query": query}, headers={"accept": URQL})
                assert answer.headers["content-type"].startswith("application/graphql-response+json")
                assert answer.json() == {"data": data}
            async with subscribed(harness, query) as body:
                assert body.response.headers["content-type"] == "text/event-stream; charset=utf-8"
                item, end = await body.events(2)
                assert msgspec.json.decode(item["data"]) == {"data": data}
                assert end["event"] == "complete"


@pytest.mark.parametrize("accept", [URQL, f"{MULTIPART}, text/event-stream;q=0.1", "text/event-stream, */*"])
async def test_a_subscription_is_events_wherever_they_are_accepted_also_beside_multipart(accept: str) -> None:
    async with numbered().serving() as harness, subscribed(harness, NUMBERS, accept=accept) as body:
        assert body.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert numbers(await body.events(3)) == [("1", 1), ("2", 2), ("3", 3)]


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/event-stream;q=0, application/json"])
async def test_a_subscription_whose_client_reads_no_stream_is_told_what_it_would_need(accept: str) -> None:
    async with numbered().serving() as harness, client_of(harness) as client:
        answer = await client.post("/graphql", json={"query": NUMBERS}, headers={"accept": accept})
        assert error_code(answer) == ErrorCode.BAD_USER_INPUT
        assert "text/event-stream" in answer.text


async def test_a_silent_stream_beats_by_comments() -> None:
    async with numbered().serving() as harness, subscribed(harness, LIVE) as body:
        await body.events(3)
        await eventually(lambda: harness.clock.sleeping == 2)
        harness.clock.advance(12)
        assert await body.until(b"\n\n") == b":\n\n"


async def test_a_bad_token_is_401_and_a_connect_token_is_one() -> None:
    async with numbered().serving() as harness:
        for token in ("a.b.c", harness.connect_tokens.issue(caller()).token):
            async with http_client() as client:
                headers = {"accept": EVENTS, "authorization": f"Bearer {token}"}
                answer = await client.post(harness.url, json={"query": NUMBERS}, headers=headers)
            assert (answer.status_code, error_code(answer)) == (401, "UNAUTHENTICATED")


async def test_browsers_of_other_sites_may_send_last_event_id() -> None:
    async with numbered().serving() as harness, http_client() as client:
        headers = {
            "origin": "https://app.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,last-event-id",
        }
        answer = await client.options(harness.url, headers=headers)
        assert answer.status_code == 200
        assert "last-event-id" in answer.headers["access-control-allow-headers"].lower()
