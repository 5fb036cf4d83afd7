"""What machines ask of the process: is it alive, is it ready, what do its metrics say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct, json
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.metrics import Metrics

Check = Callable[[], Awaitable[str | None]]
"""Why the process is not ready, in words for operators; None if it is."""


class Readiness(Struct, frozen=True, kw_only=True):
    """The answer of `/readyz`."""

    ready: bool
    reasons: dict[str, str]
    """By the name of the check that failed."""


class Probes:
    """`/healthz`, `/readyz` and `/metrics`. They need no token and hold no health data."""

    def __init__(
        self, *, checks: Mapping[str, Check], metrics: Metrics, refresh: Callable[[], Awaitable[None]]
    ) -> None:
        """`refresh` is awaited before metrics are read out: it sets what is a state and not a count."""
        self._checks = dict(checks)
        self._metrics = metrics
        self._refresh = refresh

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    async def readiness(self) -> Readiness:
        reasons = {name: reason for name, check in self._checks.items() if (reason := await check()) is not None}
        return Readiness(ready=not reasons, reasons=reasons)

    async def healthz(self, _: Request) -> Response:
        """200 as long as the event loop turns."""
        return Response(b'{"alive":true}', media_type="application/json")

    async def readyz(self, _: Request) -> Response:
        """200 when work may be sent here; else 503, and why."""
        readiness = await self.readiness()
        return Response(json.encode(readiness), 200 if readiness.ready else 503, media_type="application/json")

    async def metrics(self, _: Request) -> Response:
        """Everything of `bus.metrics`, in Prometheus' text form."""
        await self._refresh()
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)
