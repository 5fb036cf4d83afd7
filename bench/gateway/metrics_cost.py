"""What counting costs: processor time a delivery, with metrics and with nothing in their place."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.gateway.covey import covey_under_load
from bench.gateway.plan import Plan
from bench.gateway.rates import REQUESTS, Rate, members_of, rate
from bench.gateway.systems import interleaved, sockets_possible
from bench.report import Figure

_SOCKETS: Final = 1000
_PROGRAMS: Final = {"counting": ("cli", "serve"), "not": ("bench.gateway.unmeasured_server", "serve")}
_BAR_PERCENT: Final = 3.0


async def measure_metrics_cost(plan: Plan) -> Sequence[Figure]:
    """At full rate, on one stream and on own ones."""
    figures = []
    sockets = sockets_possible(plan.of(_SOCKETS))
    for kind in ("shared", "own"):

        async def one(program: str, kind: str = kind) -> Rate:
            with TemporaryDirectory() as data:
                async with covey_under_load(plan.services, Path(data), program=_PROGRAMS[program]) as server:
                    return await rate(server, members_of(kind, sockets), REQUESTS[kind]["covey"])

        found = await interleaved(f"metrics, {kind}", tuple(_PROGRAMS), plan.rounds, one)
        counting, without = (statistics.median(each.cpu_us for each in found[program]) for program in _PROGRAMS)
        figures.append(
            Figure(f"cost of metrics, {kind} streams, percent", (counting / without - 1) * 100, "<=", _BAR_PERCENT)
        )
    return figures
