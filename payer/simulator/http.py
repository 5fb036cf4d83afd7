"""What the simulator's endpoints have in common: keys, bodies, and errors in Stedi's form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from payer.simulator.inquiry import Problem

Endpoint = Callable[[Request], Awaitable[Response]]

_MOST_PROBLEMS: Final = 100


def json_response(content: object, status: int = 200) -> Response:
    """Content as JSON."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def authorized(endpoint: Endpoint) -> Endpoint:
    """The endpoint for callers that send a key; any key will do."""

    async def guarded(request: Request) -> Response:
        if not _key(request):
            return json_response({"code": "UNAUTHORIZED", "message": "Send an API key in the header."}, 401)
        return await endpoint(request)

    return guarded


def in_test_mode(request: Request) -> bool:
    """Whether the key is a test key."""
    return _key(request).startswith("test_")


def _key(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Key ").strip()


async def json_body(request: Request, most_bytes: int) -> object:
    """The body's JSON; None for what is no JSON. Raises HTTPException (413) where it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise HTTPException(413)
    try:
        return msgspec.json.decode(bytes(body))
    except (ValueError, RecursionError):
        return None


def invalid_request(problems: Sequence[Problem]) -> Response:
    """HTTP 400 as the current API answers it."""
    return json_response({"message": "The request is not valid.", "errors": _listed(problems)}, 400)


def validation_exception(problems: Sequence[Problem]) -> Response:
    """HTTP 400 as the older APIs answer it."""
    content = {"code": "VALIDATION_EXCEPTION", "message": "The request is not valid.", "fieldList": _listed(problems)}
    return json_response(content, 400)


def _listed(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [{"path": problem.path, "message": problem.message} for problem in problems[:_MOST_PROBLEMS]]
