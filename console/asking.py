"""One GraphQL question to a server, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx

from console.errors import ServerRefused, ServerUnreachable, TokenNotTaken, UsedWrongly
from setting_kinds import LOOPBACK

ANSWER_SECONDS: Final = 30.0


def graphql_url(url: str) -> str:
    """A server's URL, given with or without `/graphql`. Raises UsedWrongly for one that no server has."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise UsedWrongly("--url begins with http:// or https://, like http://127.0.0.1:8000.")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") or "/graphql", "", ""))


async def asked(query: str, variables: Mapping[str, Any], *, url: str, token: str) -> dict[str, Any]:
    """As `answered`, by a client of its own."""
    # A proxy of the environment is for other machines; many forget to except this one.
    async with httpx.AsyncClient(trust_env=urlsplit(url).hostname not in LOOPBACK) as http:
        return await answered(http, graphql_url(url), f"Bearer {token}", query, variables)


async def answered(
    http: httpx.AsyncClient, url: str, authorization: str, query: str, variables: Mapping[str, Any]
) -> dict[str, Any]:
    """The `data` of the answer. Raises ServerUnreachable; ServerRefused, TokenNotTaken where it holds errors."""
    try:
        response = await http.post(
            url,
            json={"query": query, "variables": variables},
            headers={"authorization": authorization, "accept": "application/json"},
            timeout=ANSWER_SECONDS,
        )
    except httpx.HTTPError as error:
        raise unreachable(url, _why(error)) from None
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not (body.get("errors") or body.get("data")):
        if response.status_code == 401:  # of something that stands in front of a server
            raise TokenNotTaken("HTTP 401.")
        raise unreachable(url, f"HTTP {response.status_code} without a GraphQL answer")
    if body.get("errors"):
        raise refusal(body["errors"])
    data: dict[str, Any] = body["data"]
    return data


def unreachable(url: str, why: str) -> ServerUnreachable:
    """Nothing answers there as it should; `why` may be ""."""
    reason = f" ({why})" if why else ""
    return ServerUnreachable(f"No Covey answers at {url}{reason}. Start one with `covey demo`, or pass --url.")


def _why(error: httpx.HTTPError) -> str:
    """Why nothing answered, in words; "" where the library's own are all there is."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        cause = cause.__cause__ or cause.__context__
    return ""


def refusal(errors: list[dict[str, Any]]) -> ServerRefused:
    """The first of a server's errors."""
    first = errors[0]
    code = first.get("extensions", {}).get("code", "an error")
    if code == "UNAUTHENTICATED":
        return TokenNotTaken(first.get("message", ""))
    return ServerRefused(f"The server answered {code}: {first.get('message', '')}")
