"""Tokens on the real program in production: what they open, when they end, and that tenants never meet."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection

from tests.system.issuer import Issuer
from tests.system.program import (
    FOLLOW,
    STATUS,
    SUBMIT,
    TERMINAL,
    Client,
    Server,
    close_code,
    greeted,
    question,
    received,
    serving,
    simulator,
    subscribe,
)

CONNECT = "{ me { member { websocketSubscribeInfo { url authToken expiresAt } } } }"
SCHEMA = "{ __schema { types { name } } }"
CANCEL = "mutation C($id: ID!) { cancelCoverageRequest(id: $id) { __typename ... on Refused { reason } } }"
ALL = "{ coverageRequests(first: 100) { edges { node { id } } } }"
MEMBER_EVENTS = """
subscription Mine($memberId: ID, $after: Cursor) {
  memberEvents(memberId: $memberId, after: $after) {
    __typename
    ... on Update { cursor }
    ... on CoverageRequestEvent { requestId type }
    ... on Gap { reason }
  }
}
"""


@asynccontextmanager
async def production(folder: Path, issuer: Issuer) -> AsyncIterator[Server]:
    settings = {"call_timeout_seconds": "121", "drain_seconds": "0"}
    async with simulator() as payer_url, serving(folder, payer_url=payer_url, **issuer.settings, **settings) as server:
        yield server


async def posted(server: Server, bearer: str, query: str) -> httpx.Response:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {bearer}"}) as http:
        return await http.post(f"{server.url}/graphql", json={"query": query})


async def answer(socket_: ClientConnection, query: str, **variables: Any) -> dict[str, Any]:
    """What an operation brings first, with the `complete` behind it taken off the socket."""
    await subscribe(socket_, query, "one", **variables)
    message = await received(socket_)
    if message["type"] == "next":
        assert (await received(socket_)) == {"id": "one", "type": "complete"}
    return message


def codes(errors: list[dict[str, Any]]) -> set[str]:
    return {error["extensions"]["code"] for error in errors}


async def test_production_shows_no_page_no_schema_and_takes_only_its_issuers_tokens(tmp_path: Path) -> None:
    issuer = Issuer()
    async with production(tmp_path, issuer) as server, httpx.AsyncClient() as http:
        page = await http.get(f"{server.url}/graphql", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["allow"]) == (405, "POST")
        assert "graphiql" not in page.text.lower()
        assert (await http.get(f"{server.url}/graphql/assets/graphiql.js")).status_code == 404

        bearer = issuer.token("m-1")
        for query in (SCHEMA, '{ __type(name: "Query") { name } }'):
            assert codes((await posted(server, bearer, query)).json()["errors"]) == {"BAD_USER_INPUT"}
        misspelt = await posted(server, bearer, "{ mee { id } }")
        assert codes(misspelt.json()["errors"]) == {"BAD_USER_INPUT"} and "Did you mean" not in misspelt.text
        async with greeted(server.port, bearer) as socket_:
            refused = await answer(socket_, SCHEMA)
            assert refused["type"] == "error" and codes(refused["payload"]) == {"BAD_USER_INPUT"}

        assert not (server.data / "development-key.pem").exists()
        for strange in (Issuer().token("m-1"), issuer.token("m-1", use="refresh"), issuer.token("m-1", aud="other")):
            response = await posted(server, strange, "{ me { id } }")
            assert response.status_code == 401 and codes(response.json()["errors"]) == {"UNAUTHENTICATED"}
            assert strange not in response.text + server.written()


async def test_a_socket_ends_with_its_token_and_with_the_one_its_connect_token_came_by(tmp_path: Path) -> None:
    issuer = Issuer()
    async with production(tmp_path, issuer) as server:
        short = issuer.token("m-1", exp=int(time.time()) + 6)
        fetched = (await posted(server, short, CONNECT)).json()["data"]["me"]["member"]["websocketSubscribeInfo"]
        assert fetched["url"] == issuer.settings["public_url"]
        connect_token = fetched["authToken"]
        over_http = await posted(server, connect_token, "{ me { id } }")
        assert over_http.status_code == 401 and connect_token not in over_http.text
        async with greeted(server.port, short) as own, greeted(server.port, connect_token) as connected:
            again = await answer(connected, CONNECT)
            assert again["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"
            made = await answer(connected, SUBMIT, input={"question": question("m-1", "60054")})
            request_id = made["payload"]["data"]["submitCoverageRequest"]["request"]["id"]
            stranger = await answer(connected, SUBMIT, input={"question": question("m-2", "60054")})
            assert stranger["payload"]["data"]["submitCoverageRequest"]["reason"] == "FORBIDDEN"
            await subscribe(connected, FOLLOW, id=request_id)
            assert (await received(connected))["payload"]["data"]["coverageRequestEvents"]["sequence"] == 1
            await subscribe(own, MEMBER_EVENTS)
            assert [await close_code(own), await close_code(connected)] == [4403, 4403]
        assert (await posted(server, short, "{ me { id } }")).status_code == 401


async def test_tenants_never_meet_though_their_members_and_keys_are_named_alike(tmp_path: Path) -> None:
    issuer = Issuer()
    asked = {"question": question("m-1", "60054"), "idempotencyKey": "same"}
    async with production(tmp_path, issuer) as server:
        theirs = Client(server.port, issuer.token("m-1", tenant="t-a"))
        async with greeted(server.port, issuer.token("m-1", tenant="t-b")) as watching:
            await subscribe(watching, MEMBER_EVENTS, "live")
            assert (await received(watching))["payload"]["data"]["memberEvents"]["__typename"] == "Checkpoint"
            first = (await theirs.execute(SUBMIT, input=asked))["submitCoverageRequest"]["request"]
            cursors = [first["cursor"], *(item["cursor"] for item in await theirs.follow(first["id"]))]
            async with greeted(server.port, issuer.token("m-1", tenant="t-a")) as socket_:
                await subscribe(socket_, MEMBER_EVENTS)
                checkpoint = (await received(socket_))["payload"]["data"]["memberEvents"]
                cursors.append(checkpoint["cursor"])
                await subscribe(socket_, MEMBER_EVENTS, "again", after=checkpoint["cursor"])
                again = (await received(socket_))["payload"]["data"]["memberEvents"]
                assert checkpoint["__typename"] == again["__typename"] == "Checkpoint"
            cached = (await theirs.execute(SUBMIT, input={"question": asked["question"]}))["submitCoverageRequest"]
            assert cached["__typename"] == "CoverageAnswered"

            for role in ("member", "service"):
                bearer = issuer.token("m-1", tenant="t-b", role=role)
                ours = Client(server.port, bearer)
                assert (await ours.execute(STATUS, id=first["id"]))["coverageRequest"] is None
                assert (await ours.execute(ALL))["coverageRequests"]["edges"] == []
                assert (await ours.execute(CANCEL, id=first["id"]))["cancelCoverageRequest"]["reason"] == "NOT_FOUND"
                async with greeted(server.port, bearer) as socket_:
                    for after in (None, cursors[0]):
                        missing = await answer(socket_, FOLLOW, id=first["id"], after=after)
                        assert codes(missing["payload"]["errors"]) == {"NOT_FOUND"}
                    for number, cursor in enumerate(cursors):
                        await subscribe(socket_, MEMBER_EVENTS, f"{number}", memberId="m-1", after=cursor)
                        item = (await received(socket_))["payload"]["data"]["memberEvents"]
                        assert (item["__typename"], item["reason"]) == ("Gap", "UNKNOWN_CURSOR")
                await ours.close()

            ours = Client(server.port, issuer.token("m-1", tenant="t-b"))
            own = (await ours.execute(SUBMIT, input=asked))["submitCoverageRequest"]
            assert own["__typename"] == "CoverageRequestAccepted" and own["request"]["id"] != first["id"]
            seen: list[dict[str, Any]] = []
            while not seen or seen[-1]["type"] not in TERMINAL:
                item = (await received(watching))["payload"]["data"]["memberEvents"]
                if item["__typename"] == "CoverageRequestEvent":
                    seen.append(item)
            assert {item["requestId"] for item in seen} == {own["request"]["id"]}
            await ours.close()
        await theirs.close()
