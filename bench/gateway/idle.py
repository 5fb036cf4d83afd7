"""Connections that hear nothing: how fast they are taken in, and what they cost from then on."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.gateway.clients import follow
from bench.gateway.pinned import cpu_seconds, resident_bytes
from bench.gateway.plan import Plan
from bench.gateway.systems import interleaved, served, sockets_possible
from bench.gateway.tally import Tally
from bench.report import Figure

_SOCKETS: Final = 20_000
_AT_ONCE: Final = 200
_FIRST: Final = 50
_SECONDS: Final = 60.0
"""Of idling: three pings of each socket, and one Checkpoint."""
_BAR_PER_SECOND: Final = 1000.0
_BAR_PERCENT: Final = 10.0


class Idling(NamedTuple):
    """Of one round."""

    accepted_per_second: float
    cpu_ms: float
    """To take one in."""
    core_percent: float
    kib: float
    """Of resident memory, a connection."""

    def __str__(self) -> str:
        return (
            f"{self.accepted_per_second:7,.0f} taken in a second ({self.cpu_ms:.2f} ms of CPU each), "
            f"then {self.core_percent:.1f} % of a core, {self.kib:.1f} KiB a connection"
        )


async def measure_idle(plan: Plan) -> Sequence[Figure]:
    """Sockets that each follow a member to whom nothing happens."""
    sockets = sockets_possible(plan.of(_SOCKETS))

    async def one(system: str) -> Idling:
        async with served(system, plan.services) as server:
            tally = Tally()
            clients = await follow(server.port, range(sockets, sockets + _FIRST), server.token, tally)
            memory, used, began = resident_bytes(server.pid), cpu_seconds(server.pid), time.perf_counter()
            clients += await follow(server.port, range(sockets - _FIRST), server.token, tally, at_once=_AT_ONCE)
            took = time.perf_counter() - began
            cpu_ms = (cpu_seconds(server.pid) - used) / len(clients) * 1000
            used = cpu_seconds(server.pid)
            await asyncio.sleep(_SECONDS)
            percent = (cpu_seconds(server.pid) - used) / _SECONDS * 100
            tally.check()
            kib = (resident_bytes(server.pid) - memory) / len(clients) / 1024
            for client in clients:
                client.close()
            return Idling(len(clients) / took, cpu_ms, percent, kib)

    found = (await interleaved(f"{sockets} idle", plan.beside(), plan.rounds, one)).get("covey", [])
    if not found:
        return []
    rate = statistics.median(each.accepted_per_second for each in found)
    percent = statistics.median(each.core_percent for each in found)
    return [
        Figure(f"{sockets} subscribed connections, taken in a second", rate, ">=", _BAR_PER_SECOND),
        Figure(f"{sockets} idle connections, percent of a core", percent, "<=", _BAR_PERCENT),
    ]
