"""The command line's client against a server that says what each test wants."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bus.clock import SystemClock
from console.check import check
from console.errors import ServerRefused, ServerUnreachable, TokenNotTaken, UsedWrongly
from console.submit_and_follow import Item, SubmitAndFollow
from tests.console.scripted_server import ScriptedServer, ScriptedSocket, event


def submitted(result: Item) -> httpx.Response:
    return httpx.Response(200, json={"data": {"submitCoverageRequest": result}})


ACCEPTED = {"__typename": "CoverageRequestAccepted", "request": {"id": "r-1"}}


async def followed(server: ScriptedServer) -> list[Item]:
    return [item async for item in server.client.follow("r-1")]


async def tells_all(socket: ScriptedSocket) -> None:
    await socket.subscribed()
    for item in (event("SUBMITTED", "c1"), event("STARTED", "c2"), event("COMPLETED", "c3")):
        await socket.next(item)
    await socket.complete()


async def test_a_request_is_submitted_with_the_token_and_followed_to_its_end() -> None:
    async with ScriptedServer(tells_all).running() as server:
        server.respond = lambda _: submitted(ACCEPTED)
        told: list[Item] = []
        last = await check(server.client, {"question": {}}, told.append)
    assert [item["type"] for item in told] == ["SUBMITTED", "STARTED", "COMPLETED"]
    assert last["type"] == "COMPLETED"
    assert server.requests[0]["headers"]["authorization"] == "Bearer t0ken"
    assert server.requests[0]["url"].endswith("/graphql")
    assert server.requests[0]["variables"] == {"input": {"question": {}}}
    assert server.sockets[0].init == {"authorization": "Bearer t0ken"}
    assert server.sockets[0].variables == {"requestId": "r-1", "after": None}


@pytest.mark.parametrize("code", [1000, 1001, 1012, 1013, 4408])
async def test_cut_off_it_comes_back_with_the_last_cursor(code: int) -> None:
    async def cut_off(socket: ScriptedSocket) -> None:
        await socket.subscribed()
        await socket.next(event("SUBMITTED", "c1"))
        await socket.next(event("STARTED", "c2"))
        await socket.close(code)

    async def ends(socket: ScriptedSocket) -> None:
        await socket.subscribed()
        await socket.next(event("COMPLETED", "c3"))

    async with ScriptedServer(cut_off, ends).running() as server:
        items = await followed(server)
    assert [item["cursor"] for item in items] == ["c1", "c2", "c3"]
    assert [socket.variables["after"] for socket in server.sockets] == [None, "c2"]
    assert len(server.clock.slept) == 1


async def test_a_broken_connection_is_a_cut_too() -> None:
    async def dies(socket: ScriptedSocket) -> None:
        await socket.subscribed()
        await socket.next(event("SUBMITTED", "c1"))
        socket.connection.transport.abort()

    async with ScriptedServer(dies, tells_all).running() as server:
        await followed(server)
    assert [socket.variables["after"] for socket in server.sockets] == [None, "c1"]


async def test_it_gives_up_on_a_server_that_never_brings_an_item_and_says_that_the_request_goes_on() -> None:
    async def closes(socket: ScriptedSocket) -> None:
        await socket.close(1013)

    async with ScriptedServer(closes).running() as server:
        with pytest.raises(ServerUnreachable, match=r"Request r-1 was accepted and goes on"):
            await followed(server)
    assert len(server.sockets) == len(server.clock.slept) == 10
    assert all(0 <= seconds <= 8 for seconds in server.clock.slept)


async def test_an_item_renews_its_patience() -> None:
    async def one_item(socket: ScriptedSocket) -> None:
        await socket.subscribed()
        at = len(server.sockets)
        await socket.next(event("COMPLETED" if at == 25 else "ENQUEUED", f"c{at}"))
        await socket.close(1012)

    async with ScriptedServer(one_item).running() as server:
        assert len(await followed(server)) == 25


@pytest.mark.parametrize(("code", "words"), [(4400, "4400"), (4401, "4401"), (4403, "covey token")])
async def test_it_does_not_come_back_from_a_refusal(code: int, words: str) -> None:
    async def refuses(socket: ScriptedSocket) -> None:
        await socket.receive()
        await socket.close(code, "no")

    async with ScriptedServer(refuses).running() as server:
        with pytest.raises(ServerRefused, match=words):
            await followed(server)
    assert len(server.sockets) == 1


async def test_progress_is_given_with_the_schemas_own_names() -> None:
    async def tells_progress(socket: ScriptedSocket) -> None:
        await socket.subscribed()
        await socket.next({"__typename": "QueueProgress", "cursor": "c1", "place": 4, "estimatedWaitSeconds": None})
        await socket.next(event("COMPLETED", "c2"))

    async with ScriptedServer(tells_progress).running() as server:
        progress, _ = await followed(server)
    assert progress["queuePosition"] == 4 and "place" not in progress


async def test_an_operation_that_is_refused_is_told_with_its_code() -> None:
    async def refuses(socket: ScriptedSocket) -> None:
        await socket.subscribed()
        errors = [{"message": "No such request.", "extensions": {"code": "NOT_FOUND"}}]
        await socket.send({"id": "1", "type": "error", "payload": errors})

    async with ScriptedServer(refuses).running() as server:
        with pytest.raises(ServerRefused, match="NOT_FOUND: No such request"):
            await followed(server)


async def test_errors_in_an_item_are_told() -> None:
    async def fails(socket: ScriptedSocket) -> None:
        await socket.subscribed()
        errors = [{"message": "Trouble.", "extensions": {"code": "INTERNAL"}}]
        await socket.send({"id": "1", "type": "next", "payload": {"data": None, "errors": errors}})

    async with ScriptedServer(fails).running() as server:
        with pytest.raises(ServerRefused, match="INTERNAL"):
            await followed(server)


async def test_a_stream_that_completes_before_the_request_ended_is_told() -> None:
    async def completes(socket: ScriptedSocket) -> None:
        await socket.subscribed()
        await socket.complete()

    async with ScriptedServer(completes).running() as server:
        with pytest.raises(ServerRefused, match="ended before"):
            await followed(server)


async def test_it_answers_pings() -> None:
    seen: list[Item] = []

    async def pings(socket: ScriptedSocket) -> None:
        await socket.subscribed()
        await socket.send({"type": "ping"})
        seen.append(await socket.receive())
        await socket.next(event("COMPLETED", "c1"))

    async with ScriptedServer(pings).running() as server:
        await followed(server)
    assert seen == [{"type": "pong"}]


@pytest.mark.parametrize("text", ["not json", "[]", "{}"])
async def test_a_server_of_another_kind_is_told(text: str) -> None:
    async def babbles(socket: ScriptedSocket) -> None:
        await socket.connection.send(text)
        await socket.connection.wait_closed()

    async with ScriptedServer(babbles).running() as server:
        with pytest.raises(ServerRefused, match="--url"):
            await followed(server)


async def test_an_answer_from_the_cache_is_the_end() -> None:
    answer = {"__typename": "CoverageAnswered", "coverage": {"status": "ACTIVE"}, "refresh": None}
    async with ScriptedServer(tells_all).running() as server:
        server.respond = lambda _: submitted(answer)
        told: list[Item] = []
        assert await check(server.client, {}, told.append) == answer
    assert told == [answer] and server.sockets == []


async def test_input_that_the_server_does_not_take_was_used_wrongly() -> None:
    problem = {"path": ["input", "question", "subscriber", "dateOfBirth"], "code": "IN_FUTURE", "message": "Too late."}
    async with ScriptedServer(tells_all).running() as server:
        server.respond = lambda _: submitted({"__typename": "InvalidInput", "problems": [problem]})
        with pytest.raises(UsedWrongly, match=r"^--birth-date: Too late\.$"):
            await check(server.client, {}, lambda _: None)


@pytest.mark.parametrize(("after", "words"), [(3, "Try again in 3 s"), (None, "QUEUE_FULL")])
async def test_a_refusal_is_told_with_when_to_come_back(after: int | None, words: str) -> None:
    refusal = {"__typename": "Refused", "reason": "QUEUE_FULL", "message": "Too many.", "retryAfterSeconds": after}
    async with ScriptedServer(tells_all).running() as server:
        server.respond = lambda _: submitted(refusal)
        with pytest.raises(ServerRefused, match=words):
            await check(server.client, {}, lambda _: None)


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (httpx.Response(401, text="no"), TokenNotTaken, "covey token"),
        (
            httpx.Response(401, json={"errors": [{"message": "No JWT.", "extensions": {"code": "UNAUTHENTICATED"}}]}),
            TokenNotTaken,
            "refused the token: No JWT. Pass --token",
        ),
        (httpx.Response(404, text="not found"), ServerUnreachable, "HTTP 404"),
        (httpx.Response(200, json=[]), ServerUnreachable, "without a GraphQL answer"),
        (httpx.Response(200, json={}), ServerUnreachable, "without a GraphQL answer"),
        (
            httpx.Response(200, json={"errors": [{"message": "Wrong.", "extensions": {"code": "BAD_USER_INPUT"}}]}),
            ServerRefused,
            "BAD_USER_INPUT: Wrong",
        ),
        (httpx.Response(503, json={"errors": [{"message": "Draining."}]}), ServerRefused, "Draining"),
    ],
)
async def test_an_answer_that_is_none_is_told(response: httpx.Response, error: type[Exception], words: str) -> None:
    async with ScriptedServer(tells_all).running() as server:
        server.respond = lambda _: response
        with pytest.raises(error, match=words):
            await server.client.submit({})


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (httpx.ConnectError, ""),
        (httpx.ConnectTimeout, " (no answer in time)"),
        (httpx.ReadTimeout, " (no answer in time)"),
    ],
)
async def test_no_server_at_all_is_told_with_the_cure(failure: type[httpx.TransportError], why: str) -> None:
    def fails(request: httpx.Request) -> httpx.Response:
        raise failure("of the library's", request=request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(fails)) as http:
        client = _client("http://127.0.0.1:1/graphql", http)
        with pytest.raises(ServerUnreachable) as unreachable:
            await client.submit({})
    cure = "Start one with `covey demo`, or pass --url."
    assert str(unreachable.value) == f"No Covey answers at http://127.0.0.1:1/graphql{why}. {cure}"


async def test_a_refused_connection_is_told_as_such() -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(ServerUnreachable, match=r"No Covey answers at \S+/graphql \(connection refused\)"):
            await _client("http://127.0.0.1:1/graphql", http).submit({})


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/graphql"),
        ("https://covey.example.com/", "https://covey.example.com/graphql"),
        ("https://example.com/covey/graphql", "https://example.com/covey/graphql"),
    ],
)
async def test_the_url_is_taken_with_or_without_its_path(url: str, asked: str) -> None:
    seen: list[str] = []

    def answers(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return submitted(ACCEPTED)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answers)) as http:
        await _client(url, http).submit({})
    assert seen == [asked]


def _client(url: str, http: httpx.AsyncClient) -> SubmitAndFollow:
    nothing: Any = None
    return SubmitAndFollow(url, "t", http=http, clock=SystemClock(), random=nothing)
