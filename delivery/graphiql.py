"""The page that engineers explore with: GraphiQL, in development only, with a token and examples filled in."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Final

import msgspec
from msgspec import Struct
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bus.ids import MemberId
from delivery.errors import PageRefused
from delivery.same_site import check_page_request

_ASSETS: Final = "/graphql/assets/"
_OURS: Final = ("graphiql.css", "graphiql.js", "examples.js")
_SECONDS_A_YEAR: Final = 31_536_000


class _Asset(Struct, frozen=True, kw_only=True):
    """A file of a published package, by the path that the CDN serves it under, and `scripts/web` copies it to."""

    path: str
    integrity: str


class _Manifest(Struct, frozen=True, kw_only=True):
    """`assets.json` in the web folder."""

    cdn: str
    styles: tuple[_Asset, ...]
    scripts: tuple[_Asset, ...]

    @property
    def assets(self) -> tuple[_Asset, ...]:
        return self.styles + self.scripts


class GraphiqlPage:
    """The page made from the web folder; an ASGI application for a browser's GET of `/graphql`.

    Where `scripts/web` has built the assets they come from here and the page needs nothing from outside; else from the
    CDN, the same files held to the same hashes.
    """

    def __init__(
        self, web: Path, *, mint_token: Callable[[], str], member_id: MemberId, public_host: str | None = None
    ) -> None:
        """Each time it is loaded the page holds a new token of `mint_token`, and asks in the name of that member.

        It is served on this machine's own names, and on `public_host`, in lower case.
        """
        self._web = web
        self._public_host = public_host
        self._mint_token = mint_token
        self._member_id = member_id
        self._template = Template((web / "graphiql.html").read_text())
        self._manifest = msgspec.json.decode((web / "assets.json").read_bytes(), type=_Manifest)

    @property
    def self_hosted(self) -> bool:
        """Whether every asset was built."""
        return all(self._built(asset).is_file() for asset in self._manifest.assets)

    @property
    def route(self) -> Route:
        """Serves the page's assets; to be routed before any mount of `/graphql`."""
        return Route(_ASSETS + "{path:path}", self._serve, methods=["GET"], name="graphiql-assets")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_page_request(Headers(scope=scope), self._public_host)
        except PageRefused as refusal:
            response: Response = PlainTextResponse(f"{refusal}\n", refusal.status, {"cache-control": "no-store"})
        else:
            response = self.render()
        await response(scope, receive, send)

    def render(self) -> Response:
        """The page, with headers that let it talk to nobody but this server."""
        base = _ASSETS if self.self_hosted else self._manifest.cdn
        body = self._template.substitute(
            assets="\n    ".join(self._tags(base)),
            token=html.escape(self._mint_token()),
            member_id=html.escape(self._member_id),
        )
        headers = {
            "content-security-policy": self._policy(base),
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        return HTMLResponse(body, headers=headers)

    def _tags(self, base: str) -> list[str]:
        held = 'integrity="{}" crossorigin="anonymous"'
        styles = [
            f'<link rel="stylesheet" href="{base}{style.path}" {held.format(style.integrity)}>'
            for style in self._manifest.styles
        ]
        scripts = [
            f'<script src="{base}{script.path}" {held.format(script.integrity)} defer></script>'
            for script in self._manifest.scripts
        ]
        return styles + scripts

    def _policy(self, base: str) -> str:
        """Only these scripts run, and the page talks to this server alone: the token in it cannot be carried off."""
        outside = base == self._manifest.cdn
        scripts = ["'self'", *(base + script.path for script in self._manifest.scripts if outside)]
        # No style elements either: GraphiQL only misses them to stop the page from scrolling behind a dialog.
        styles = ["'self'", *(base + style.path for style in self._manifest.styles if outside)]
        return "; ".join(
            (
                "default-src 'none'",
                f"script-src {' '.join(scripts)}",
                f"style-src {' '.join(styles)}",
                "font-src data:",
                "img-src 'self' data:",
                "connect-src 'self'",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
            )
        )

    async def _serve(self, request: Request) -> Response:
        path = request.path_params["path"]
        if path in _OURS:
            return FileResponse(self._web / path, headers={"cache-control": "no-cache"})
        for asset in self._manifest.assets:
            if asset.path == path and self._built(asset).is_file():
                forever = f"public, max-age={_SECONDS_A_YEAR}, immutable"
                return FileResponse(self._built(asset), headers={"cache-control": forever})
        raise HTTPException(404)

    def _built(self, asset: _Asset) -> Path:
        return self._web / "dist" / asset.path
