"""graphql-transport-ws, rule by rule, over raw frames."""

from __future__ import annotations

import msgspec
import pytest

from tests.delivery.harness import Harness, door_tasks, eventually
from tests.delivery.issued import member_token, sign
from tests.delivery.sample_schema import SECRET, ended


async def test_a_subscription_gives_its_items_and_then_completes(served: Harness) -> None:
    async with served.member() as talk:
        await talk.subscribe("1", "subscription { count(to: 2) }")
        assert await talk.receive() == {"id": "1", "type": "next", "payload": {"data": {"count": 0}}}
        assert await talk.receive() == {"id": "1", "type": "next", "payload": {"data": {"count": 1}}}
        assert await talk.receive() == {"id": "1", "type": "complete"}
        await eventually(lambda: not served.metrics.subscriptions.labels("socket")._value.get())
    assert served.metrics.registry.get_sample_value("covey_deliveries_total", {"door": "socket"}) == 2


async def test_queries_and_mutations_are_answered_over_the_socket_with_variables_and_names(served: Harness) -> None:
    async with served.member() as talk:
        document = "query a { hello } mutation b($by: Int!) { bump(by: $by) }"
        await talk.subscribe("q", document, operationName="b", variables={"by": 7}, extensions={"any": 1})
        assert (await talk.receive())["payload"] == {"data": {"bump": 7}}
        assert await talk.receive() == {"id": "q", "type": "complete"}


async def test_the_context_is_made_from_the_caller(served: Harness) -> None:
    async with served.member(member_token("m-7")) as talk:
        await talk.subscribe("1", "{ who }")
        assert (await talk.receive())["payload"] == {"data": {"who": "acme/m-7"}}


@pytest.mark.parametrize(
    "payload",
    [
        lambda token: {"authorization": f"Bearer {token}"},
        lambda token: {"Authorization": f"bearer {token}"},
        lambda token: {"AUTHORIZATION": f"BEARER  {token} ", "other": 1},
        lambda token: {"authToken": token},
        lambda token: {"authToken": token, "authorization": f"Bearer {token}"},
    ],
)
async def test_a_token_is_taken_in_every_form_the_contract_names(served: Harness, payload: object) -> None:
    async with served.socket() as talk:
        await talk.send({"type": "connection_init", "payload": payload(member_token())})  # type: ignore[operator]  # a lambda
        assert await talk.receive() == {"type": "connection_ack"}


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"authToken": 5},
        {"authToken": None},
        {"authorization": ["Bearer x"]},
        {"authorization": "Basic abc"},
        {"authorization": "Bearer"},
        {"authToken": "made.up.token"},
        {"authToken": "\u00e9"},
        {"authToken": "x" * 9000},
        {"authToken": member_token("m-1"), "authorization": "Bearer " + member_token("m-2")},
        {"authToken": sign(exp=1)},
    ],
)
async def test_a_bad_token_closes_with_4403_and_says_why_without_repeating_it(
    served: Harness, payload: dict[str, object] | None
) -> None:
    async with served.socket() as talk:
        await talk.send({"type": "connection_init", "payload": payload})
        code, reason = await talk.closed()
    assert code == 4403
    assert "token" in reason.lower() or "Bearer" in reason
    assert "made.up" not in reason
    assert served.closes("refused") == 1


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("", "Malformed message: not JSON"),
        ("{", "Malformed message: not JSON"),
        ('{"type": NaN}', "Malformed message: not JSON"),
        ("[" * 5000, "Malformed message"),
        ("0", "Malformed message"),
        ("null", "Malformed message"),
        ('"ping"', "Malformed message"),
        ("[]", "Malformed message"),
        ("{}", "Malformed message"),
        ('{"type": 5}', "Malformed message"),
        ('{"type": "Smith"}', "Unknown message type"),
        ('{"type": "start", "id": "1", "payload": {}}', "Unknown message type"),
        ('{"type": "ping", "payload": "text"}', "Malformed message"),
        ('{"type": "pong", "payload": []}', "Malformed message"),
        ('{"type": "connection_init", "payload": "text"}', "Malformed message"),
        ('{"type": "complete"}', "Malformed message"),
        ('{"type": "complete", "id": ["1"]}', "Malformed message"),
        ('{"type": "subscribe", "id": "", "payload": {"query": "{ hello }"}}', "Malformed message"),
        ('{"type": "subscribe", "id": ["1"], "payload": {"query": "{ hello }"}}', "Malformed message"),
        ('{"type": "subscribe", "id": 1, "payload": {"query": "{ hello }"}}', "Malformed message"),
        ('{"type": "subscribe", "id": "1"}', "Malformed message"),
        ('{"type": "subscribe", "id": "1", "payload": null}', "Malformed message"),
        ('{"type": "subscribe", "id": "1", "payload": "{ hello }"}', "Malformed message"),
        ('{"type": "subscribe", "id": "1", "payload": {}}', "Malformed message"),
        ('{"type": "subscribe", "id": "1", "payload": {"query": null}}', "Malformed message"),
        ('{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "variables": []}}', "Malformed"),
        ('{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "operationName": 1}}', "Malformed"),
        ('{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "extensions": 1}}', "Malformed"),
        (b"\x00\x01", "Malformed message: binary"),
    ],
)
async def test_a_malformed_message_closes_with_4400_and_a_reason(
    served: Harness, frame: str | bytes, reason: str
) -> None:
    async with served.member() as talk:
        await talk.connection.send(frame)
        code, said = await talk.closed()
    assert code == 4400
    assert said.startswith(reason)
    assert "Smith" not in said
    assert "msgspec" not in said


async def test_subscribing_before_the_ack_closes_with_4401(served: Harness) -> None:
    async with served.socket() as talk:
        await talk.subscribe("1", "{ hello }")
        assert (await talk.closed())[0] == 4401


@pytest.mark.parametrize("offered", ["graphql-ws", "soap", "GraphQL-Transport-WS"])
async def test_another_subprotocol_is_accepted_and_closed_with_4406(served: Harness, offered: str) -> None:
    async with served.socket(offered) as talk:
        assert (await talk.closed())[0] == 4406
    assert len(served.connections) == 0


async def test_the_subprotocol_is_picked_from_a_list(served: Harness) -> None:
    async with served.socket("graphql-ws", "graphql-transport-ws") as talk:
        assert talk.connection.subprotocol == "graphql-transport-ws"


async def test_without_connection_init_in_time_it_closes_with_4408(served: Harness) -> None:
    async with served.socket() as talk:
        await eventually(lambda: served.clock.sleeping == 1)
        served.clock.advance(10)
        assert (await talk.closed())[0] == 4408
    await eventually(lambda: not door_tasks())


async def test_an_acknowledged_socket_outlives_the_init_timeout(served: Harness) -> None:
    async with served.member() as talk:
        served.clock.advance(60)
        assert await talk.alive()


async def test_an_id_that_runs_already_closes_with_4409(served: Harness) -> None:
    async with served.member() as talk:
        await talk.subscribe("1", "subscription { forever }")
        await talk.subscribe("1", "{ hello }")
        assert await talk.closed() == (4409, "Subscriber for 1 already exists")


async def test_a_second_connection_init_closes_with_4429(served: Harness) -> None:
    async with served.member() as talk:
        await talk.send({"type": "connection_init"})
        assert (await talk.closed())[0] == 4429


@pytest.mark.parametrize(
    "query", ["", " ", "{", "{ nothing }", "subscription { count(to: 1.5) }", "fragment A on Query { hello }"]
)
async def test_a_bad_document_is_an_error_for_its_id_and_leaves_the_socket_open(served: Harness, query: str) -> None:
    async with served.member() as talk:
        await talk.subscribe("1", query)
        message = await talk.receive()
        assert (message["id"], message["type"]) == ("1", "error")
        assert {error["extensions"]["code"] for error in message["payload"]} == {"BAD_USER_INPUT"}
        assert await talk.alive()
        await talk.subscribe("1", "{ hello }")
        assert (await talk.receive())["payload"] == {"data": {"hello": "hello"}}


async def test_an_unknown_operation_name_is_an_error_for_its_id_and_is_not_repeated(served: Harness) -> None:
    async with served.member() as talk:
        await talk.subscribe("1", "query a { hello }", operationName="Smith")
        message = await talk.receive()
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert "Smith" not in str(message)


def with_number(operation_id: str, number: str) -> str:
    """As text, since no encoder writes such numbers."""
    payload = f'{{"query": "{{ hello }}", "variables": {{"n": [{number}]}}}}'
    return f'{{"id": "{operation_id}", "type": "subscribe", "payload": {payload}}}'


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 5000])
async def test_a_number_that_is_too_large_is_an_error_for_its_id_alone(served: Harness, number: str) -> None:
    async with served.member() as talk:
        await talk.subscribe("other", "subscription { forever }")
        await talk.receive()
        await talk.connection.send(with_number("1", number))
        message = await talk.receive()
        assert (message["id"], message["type"]) == ("1", "error")
        (error,) = message["payload"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert "$.payload.variables" in error["message"] and number not in error["message"]
        assert await talk.alive()
        assert served.metrics.subscriptions.labels("socket")._value.get() == 1


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (with_number("", "1e400"), 4400),
        ('{"type": "ping", "payload": {"n": 1e400}}', 4400),
        (with_number("running", "1e400"), 4409),
    ],
)
async def test_such_a_number_where_no_operation_can_be_told_closes_the_socket(
    served: Harness, message: str, code: int
) -> None:
    async with served.member() as talk:
        await talk.subscribe("running", "subscription { forever }")
        await talk.connection.send(message)
        assert (await talk.closed())[0] == code


async def test_such_a_number_before_the_ack_is_4401(served: Harness) -> None:
    async with served.socket() as talk:
        await talk.connection.send(with_number("1", "1e400"))
        assert (await talk.closed())[0] == 4401


async def test_variables_that_do_not_fit_are_an_error_for_the_id(served: Harness) -> None:
    async with served.member() as talk:
        await talk.subscribe("1", "query ($n: Int!) { echo(number: $n) }", variables={"n": "x"})
        assert (await talk.receive())["type"] == "error"


async def test_a_refused_stream_keeps_its_code(served: Harness) -> None:
    async with served.member() as talk:
        await talk.subscribe("1", "subscription { missing }")
        message = await talk.receive()
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "NOT_FOUND"
        assert await talk.alive()


async def test_an_exception_inside_a_stream_reaches_the_client_masked_and_ends_it(served: Harness) -> None:
    async with served.member() as talk:
        await talk.subscribe("1", "subscription { breaks }")
        assert (await talk.receive())["payload"] == {"data": {"breaks": 1}}
        message = await talk.receive()
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"] == {"code": "INTERNAL", "errorId": "id-1"}
        assert SECRET not in str(message)
        assert await talk.alive()


async def test_a_failed_field_comes_with_its_data_and_path(served: Harness) -> None:
    async with served.member() as talk:
        await talk.subscribe("1", "{ hello forbidden boom }")
        payload = (await talk.receive())["payload"]
    assert payload["data"] == {"hello": "hello", "forbidden": None, "boom": None}
    assert {(error["extensions"]["code"], *error["path"]) for error in payload["errors"]} == {
        ("FORBIDDEN", "forbidden"),
        ("INTERNAL", "boom"),
    }
    assert SECRET not in str(payload)


async def test_complete_stops_the_stream_and_frees_its_id(served: Harness) -> None:
    ended.clear()
    async with served.member() as talk:
        await talk.subscribe("1", "subscription { forever }")
        await talk.receive()
        await talk.send({"type": "complete", "id": "1"})
        await talk.send({"type": "complete", "id": "never-ran"})
        await eventually(lambda: ended == ["forever"])
        await talk.subscribe("1", "{ hello }")
        assert (await talk.receive())["payload"] == {"data": {"hello": "hello"}}


async def test_a_pong_echoes_the_payload_of_its_ping(served: Harness) -> None:
    async with served.socket() as talk:
        await talk.send({"type": "ping"})
        assert await talk.receive() == {"type": "pong"}
        await talk.send({"type": "ping", "payload": {"a": [1, None]}})
        assert await talk.receive() == {"type": "pong", "payload": {"a": [1, None]}}
        await talk.send({"type": "pong", "payload": {"unasked": True}})
        assert await talk.alive()


async def test_a_message_over_the_limit_closes_with_1009_also_in_pieces(served: Harness) -> None:
    async with served.member() as talk:
        await talk.connection.send("x" * (64 * 1024 + 1))
        assert (await talk.closed())[0] == 1009
    async with served.member() as talk:
        await talk.connection.send(["x" * 40_000, "x" * 40_000])
        assert (await talk.closed())[0] == 1009


async def test_a_message_at_the_limit_is_read(served: Harness) -> None:
    async with served.member() as talk:
        message = {"type": "ping", "payload": {"a": ""}}
        message["payload"] = {"a": "x" * (64 * 1024 - len(msgspec.json.encode(message)))}
        await talk.send(message)
        assert await talk.receive() == {"type": "pong", "payload": message["payload"]}


async def test_deflate_is_not_negotiated_and_any_origin_is_let_in(served: Harness) -> None:
    from websockets.asyncio.client import connect
    from websockets.typing import Origin, Subprotocol

    async with connect(
        served.socket_url,
        origin=Origin("https://elsewhere.example"),
        subprotocols=[Subprotocol("graphql-transport-ws")],
        compression="deflate",
        proxy=None,
    ) as connection:
        assert connection.response is not None
        assert "Sec-WebSocket-Extensions" not in connection.response.headers
        assert "server" not in connection.response.headers


async def test_an_unexpected_exception_closes_with_4500_and_is_logged_once(served: Harness) -> None:
    def broken(caller: object) -> object:
        raise ValueError(SECRET)

    async with Harness(context_factory=broken).serving() as harness, harness.socket() as talk:
        await talk.send({"type": "connection_init", "payload": {"authToken": member_token()}})
        code, reason = await talk.closed()
        assert code == 4500
        assert SECRET not in reason
        assert harness.metrics.registry.get_sample_value("covey_internal_errors_total", {"where": "socket"}) == 1


async def test_an_exception_before_the_first_result_is_an_error_for_the_id() -> None:
    from tests.delivery.sample_schema import CodedSchema, Mutation, Query, Subscription

    class Broken(CodedSchema):
        async def stream(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]  # breaks before anything
            raise ValueError(SECRET)

    schema = Broken(query=Query, mutation=Mutation, subscription=Subscription)
    async with Harness(schema=schema).serving() as harness, harness.member() as talk:
        await talk.subscribe("1", "{ hello }")
        message = await talk.receive()
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "INTERNAL"
        assert SECRET not in str(message)
        assert await talk.alive()
