"""The application as a whole: which pages may call it from elsewhere, and paths that are none."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import HTMLResponse
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.delivery.harness import Harness, client_of, error_code

ELSEWHERE = {"origin": "https://app.example.org"}
ASKED = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, content-type"}


async def test_operations_may_be_asked_from_any_page(client: httpx.AsyncClient) -> None:
    asked = await client.options("/graphql", headers=ELSEWHERE | ASKED)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-methods"] == "POST"
    answer = await client.post("/graphql", json={"query": "{ hello }"}, headers=ELSEWHERE)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/graphql", "/graphql/assets/graphiql.js", "/nothing"])
async def test_nothing_that_is_got_may_be_read_by_other_sites_pages(path: str) -> None:
    async with Harness(page=HTMLResponse("a token")).serving() as harness, client_of(harness) as client:
        answer = await client.get(path, headers={"accept": "text/html", **ELSEWHERE})
        assert not [name for name in answer.headers if name.startswith("access-control")]
        asked = await client.options(path, headers=ELSEWHERE | {"access-control-request-method": "GET"})
        assert asked.status_code >= 400


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_slash_too_many_is_no_redirect_but_told(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/graphql/", headers={"host": "example.net"})
    assert (answer.status_code, error_code(answer)) == (404, "NOT_FOUND")
    assert "`/graphql`" in answer.json()["errors"][0]["message"]
    assert "location" not in answer.headers


async def test_a_socket_at_another_path_is_refused(served: Harness) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{served.socket_url}/", proxy=None):
            pass
    assert refused.value.response.status_code == 404
