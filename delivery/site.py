"""All paths as one application: which other sites' pages may call it, and what an unknown path is told."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from delivery.errors import ErrorCode
from delivery.payloads import error_entry
from delivery.sockets import GRAPHQL_PATH, NOTHING_HERE


class OperationsCors:
    """CORS for operations alone: a POST, and the question that browsers ask before it.

    Operations are safe to open to any page, since each needs a token in a header. GraphiQL's page is not: it holds one.
    """

    def __init__(self, app: ASGIApp, allowed_origins: Sequence[str]) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=allowed_origins,
            allow_methods=["POST"],
            allow_headers=["authorization", "content-type", "last-event-id"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operates = scope["type"] == "http" and scope["path"] == GRAPHQL_PATH and scope["method"] in {"POST", "OPTIONS"}
        await (self._open if operates else self._app)(scope, receive, send)


def site(routes: Sequence[BaseRoute], *, allowed_origins: Sequence[str]) -> Starlette:
    """The application; paths are taken to the letter."""
    app = Starlette(
        routes=routes,
        middleware=[Middleware(OperationsCors, allowed_origins=allowed_origins)],
        exception_handlers={404: _not_found},
    )
    # A redirect would go to whatever host the request names, and clients would drop the body or the token on the way.
    app.router.redirect_slashes = False
    return app


async def _not_found(_: Request, __: Exception) -> Response:
    entry = error_entry(ErrorCode.NOT_FOUND, NOTHING_HERE)
    return Response(msgspec.json.encode({"errors": [entry]}), 404, media_type="application/json")
