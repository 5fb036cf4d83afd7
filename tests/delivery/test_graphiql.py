"""The page that holds GraphiQL: what it loads, from where, and what it may talk to."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from bus.ids import MemberId
from delivery.graphiql import GraphiqlPage

WEB: Final = Path(__file__).parents[2] / "web"
CDN: Final = "https://cdn.jsdelivr.net/npm/"
LIBRARY: Final = b"globalThis.lib = 1"
HASH: Final = "sha384-" + base64.b64encode(hashlib.sha384(LIBRARY).digest()).decode()


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """The web folder with one library and one style, not built."""
    for name in ("graphiql.html", "graphiql.css", "graphiql.js", "examples.js"):
        shutil.copy(WEB / name, tmp_path)
    assets = {
        "cdn": CDN,
        "styles": [{"path": "lib@1.0.0/lib.css", "integrity": HASH}],
        "scripts": [{"path": "lib@1.0.0/lib.js", "integrity": HASH}],
    }
    (tmp_path / "assets.json").write_text(json.dumps(assets))
    return tmp_path


@pytest.fixture
def built(web: Path) -> None:
    folder = web / "dist" / "lib@1.0.0"
    folder.mkdir(parents=True)
    for name in ("lib.css", "lib.js"):
        (folder / name).write_bytes(LIBRARY)


@pytest.fixture
async def client(web: Path) -> AsyncIterator[httpx.AsyncClient]:
    tokens = iter(("token-1", 'token-2"><script>'))
    page = GraphiqlPage(
        web, mint_token=lambda: next(tokens), member_id=MemberId("m-1"), public_host="covey.example.org"
    )
    transport = httpx.ASGITransport(Starlette(routes=[page.route, Route("/graphql", page)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        yield http


def policy_of(response: httpx.Response) -> dict[str, list[str]]:
    directives = response.headers["content-security-policy"].split("; ")
    return {name: sources for name, *sources in (directive.split() for directive in directives)}


@pytest.mark.usefixtures("built")
async def test_built_assets_come_from_this_server_and_nothing_else_is_allowed(client: httpx.AsyncClient) -> None:
    page = await client.get("/graphql")
    assert f'src="/graphql/assets/lib@1.0.0/lib.js" integrity="{HASH}" crossorigin="anonymous"' in page.text
    assert f'href="/graphql/assets/lib@1.0.0/lib.css" integrity="{HASH}" crossorigin="anonymous"' in page.text
    assert "https://" not in page.text
    policy = policy_of(page)
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]


async def test_without_a_build_the_same_files_come_from_the_cdn_held_to_the_same_hashes(
    client: httpx.AsyncClient,
) -> None:
    page = await client.get("/graphql")
    assert f'src="{CDN}lib@1.0.0/lib.js" integrity="{HASH}" crossorigin="anonymous"' in page.text
    policy = policy_of(page)
    assert policy["script-src"] == ["'self'", f"{CDN}lib@1.0.0/lib.js"]
    assert policy["style-src"] == ["'self'", f"{CDN}lib@1.0.0/lib.css"]
    assert policy["connect-src"] == ["'self'"]
    assert (await client.get("/graphql/assets/lib@1.0.0/lib.js")).status_code == 404


async def test_each_load_has_a_new_token_that_cannot_break_out_and_is_not_stored(client: httpx.AsyncClient) -> None:
    first, second = await client.get("/graphql"), await client.get("/graphql")
    assert 'data-token="token-1" data-member-id="m-1"' in first.text
    assert 'data-token="token-2&quot;&gt;&lt;script&gt;"' in second.text
    assert first.headers["cache-control"] == "no-store"
    assert first.headers["referrer-policy"] == "no-referrer"


@pytest.mark.usefixtures("built")
async def test_versioned_assets_are_kept_for_ever_and_our_own_are_asked_for_again(client: httpx.AsyncClient) -> None:
    library = await client.get("/graphql/assets/lib@1.0.0/lib.js")
    assert library.content == LIBRARY
    assert "immutable" in library.headers["cache-control"]
    ours = await client.get("/graphql/assets/graphiql.js")
    assert ours.headers["content-type"].startswith("text/javascript")
    assert ours.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["assets.json", "graphiql.html", "%2e%2e/package.json", "dist/.built", "lib@1.0.0/x.js"]
)
async def test_nothing_but_the_pages_own_assets_is_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/graphql/assets/{path}")).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:8000"},
        {"host": "[::1]:8000"},
        {"host": "0.0.0.0:8000"},
        {"host": "Covey.example.org"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8000"},
    ],
)
async def test_who_opens_the_page_on_this_server_gets_it(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    page = await client.get("/graphql", headers=headers)
    assert (page.status_code, "data-token" in page.text) == (200, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example.net:8000"},
        {"host": "127.0.0.1.example.net"},
        {"host": "192.0.2.1:8000"},
        {"host": "localhost@example.net"},
        {"host": "[nonsense"},
        {"host": ""},
        {"sec-fetch-site": "cross-site"},
        {"origin": "https://example.net"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "null"},
    ],
)
async def test_other_sites_pages_and_other_names_get_no_page_and_are_told_the_cure(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    page = await client.get("/graphql", headers=headers)
    assert (page.status_code, "token" in page.text) == (403, False)
    assert page.headers["content-type"].startswith("text/plain")
    assert "http://localhost" in page.text and "COVEY_PUBLIC_URL" in page.text


async def test_a_second_host_header_is_not_chosen_from(client: httpx.AsyncClient) -> None:
    page = await client.get("/graphql", headers=[("host", "localhost"), ("host", "example.net")])
    assert page.status_code == 403


def test_every_pinned_asset_has_a_hash_and_the_version_of_the_package_file() -> None:
    manifest = json.loads((WEB / "assets.json").read_text())
    versions = json.loads((WEB / "package.json").read_text())["dependencies"]
    assert manifest["cdn"] == CDN
    for asset in manifest["styles"] + manifest["scripts"]:
        name, version = re.fullmatch(r"(.+?)@([^/]+)/.+", asset["path"]).groups()  # type: ignore[union-attr] # a miss fails
        assert versions[name] == version
        assert re.fullmatch(r"sha384-[A-Za-z0-9+/]{64}", asset["integrity"])


def test_the_lock_file_names_no_place_to_load_from() -> None:
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert not any("resolved" in package for package in packages.values())
    assert all("integrity" in package for path, package in packages.items() if path)
