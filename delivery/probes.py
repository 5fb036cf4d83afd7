"""What machines ask of the process: is it alive, is it ready, what do its metrics say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from msgspec import Struct, json
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.clock import Clock
from bus.metrics import Metrics

Check = Callable[[], Awaitable[str | None]]
"""Why the process is not ready, in words for operators; None if it is."""

_FRESH_SECONDS: Final = 1.0
"""Nobody needs a token to ask, and what is shared is asked for: however often they ask, no more than so."""
_ANSWER_SECONDS: Final = 2.0
"""Whoever asks gives up soon, and would not hear the reason: what takes longer is one."""


class Readiness(Struct, frozen=True, kw_only=True):
    """The answer of `/readyz`."""

    ready: bool
    reasons: dict[str, str]
    """By the name of the check that failed."""


class Probes:
    """`/healthz`, `/readyz` and `/metrics`. They need no token and hold no health data."""

    def __init__(
        self, *, checks: Mapping[str, Check], metrics: Metrics, refresh: Callable[[], Awaitable[None]], clock: Clock
    ) -> None:
        """`refresh` is awaited before metrics are read out, once a second at most: it sets what is a state and not a
        count."""
        self._checks = dict(checks)
        self._metrics = metrics
        self._refresh = refresh
        self._clock = clock
        self._refreshing = asyncio.Lock()
        self._fresh_until = float("-inf")

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    async def readiness(self) -> Readiness:
        found = await asyncio.gather(*(_in_time(check) for check in self._checks.values()))
        reasons = {name: reason for name, reason in zip(self._checks, found, strict=True) if reason is not None}
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
        async with self._refreshing:
            if self._clock.monotonic() >= self._fresh_until:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ANSWER_SECONDS):
                        await self._refresh()
                self._fresh_until = self._clock.monotonic() + _FRESH_SECONDS
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _in_time(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await check()
    except TimeoutError:
        return f"It does not answer within {_ANSWER_SECONDS:g} seconds."
