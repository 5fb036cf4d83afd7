"""`covey check`: one request from its submission to its end."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from bus.clock import SystemClock
from console.coverage_table import Waiting, coverage_table, failure_line
from console.errors import ServerRefused, TokenNotTaken, UsedWrongly
from console.question_options import option_of
from console.submit_and_follow import Item, SubmitAndFollow
from console.terminal import printer
from setting_kinds import LOOPBACK


async def check(client: SubmitAndFollow, request: Item, tell: Callable[[Item], None]) -> Item:
    """Submit a `SubmitCoverageRequestInput` and follow it; `tell` hears every item as it comes.

    Returns the item that ended it: the terminal event, or CoverageAnswered where the cache had the answer. Raises
    UsedWrongly for input that the server does not take, ServerRefused, ServerUnreachable.
    """
    result = await client.submit(request)
    match result["__typename"]:
        case "CoverageRequestAccepted":
            return await _followed(client, result["request"]["id"], tell)
        case "CoverageAnswered":
            tell(result)
            return result
        case "InvalidInput":
            raise UsedWrongly("\n".join(_problem(problem) for problem in result["problems"]))
        case _:
            later = f" Try again in {result['retryAfterSeconds']} s." if result.get("retryAfterSeconds") else ""
            raise ServerRefused(f"Refused ({result['reason']}): {result['message']}{later}")


async def _followed(client: SubmitAndFollow, request_id: str, tell: Callable[[Item], None]) -> Item:
    last: Item = {}
    async with aclosing(client.follow(request_id)) as items:
        async for item in items:
            tell(item)
            last = item
    return last


def _problem(problem: Item) -> str:
    path = ".".join(problem["path"][1:])
    return f"{option_of(path.removeprefix('question.'))}: {problem['message']}"


async def shown(request: Item, *, url: str, token: str, as_json: bool, key_folder: Path | None) -> int:
    """Check, and show it: every item as a line of JSON, or progress and the coverage as a table.

    `key_folder` is the whole path of where the key is of a token that this program made. The exit code: 0 where it
    ended with coverage. Raises what `check` does.
    """
    try:
        return await _shown(request, url, token, as_json)
    except TokenNotTaken as refused:
        if key_folder is None:
            raise
        raise ServerRefused(
            f"The server refused the token that was made with the development key in {key_folder}/: "
            f"{refused.why} Set COVEY_DATA to the data folder of the server at {url}, or pass --token."
        ) from None


async def _shown(request: Item, url: str, token: str, as_json: bool) -> int:
    out, err = printer(), printer(stderr=True)
    async with connected(url, token) as client:
        if as_json:
            last = await check(client, request, lambda item: print(json.dumps(item), flush=True))  # noqa: T201 - result
            return 0 if last.get("coverage") else 1
        with Waiting(err) as waiting:
            last = await check(client, request, waiting.show)
    return conclude(last, out, err)


@asynccontextmanager
async def connected(url: str, token: str) -> AsyncGenerator[SubmitAndFollow]:
    """A client with the machine's own clock and chance."""
    async with httpx.AsyncClient(trust_env=urlsplit(url).hostname not in LOOPBACK) as http:  # as for the socket
        yield SubmitAndFollow(url, token, http=http, clock=SystemClock(), random=Random())  # noqa: S311 - jitter only


def conclude(last: Item, out: Console, err: Console) -> int:
    """Show how a request ended; the exit code."""
    if coverage := last.get("coverage"):
        out.print(coverage_table(coverage))
        return 0
    failure = last.get("failure")
    err.print(f"The request ended: {failure_line(failure) if failure else str(last['type']).lower()}", markup=False)
    return 1
