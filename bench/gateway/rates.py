"""Deliveries a second, as fast as a server can."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.gateway.clients import follow
from bench.gateway.events import EVENTS_A_REQUEST
from bench.gateway.pinned import Served, cpu_seconds
from bench.gateway.plan import Plan
from bench.gateway.systems import interleaved, served, sockets_possible
from bench.gateway.tally import Tally
from bench.report import Figure

_SOCKETS: Final = 1000
REQUESTS: Final = {
    "shared": {"covey": 24, "stock": 2, "node": 6, "picows": 24},
    "own": {"covey": 16, "stock": 1, "node": 3, "picows": 6},
}
"""Requests a member, so that every run lasts about as long."""
_BARS: Final = {"shared": {"stock": 20.0, "node": 4.0}, "own": {"stock": 10.0, "node": 1.7}}
_LONGEST_SECONDS: Final = 120.0


class Rate(NamedTuple):
    """Of one round."""

    per_second: float
    """Between the first event's sending and the last one's arrival."""
    cpu_us: float
    """Of the server, a delivery: says more than the rate where the machine is busy with other things."""

    def __str__(self) -> str:
        return f"{self.per_second:>10,.0f} deliveries/s {self.cpu_us:>8.1f} us of CPU each"


async def measure_shared(plan: Plan) -> Sequence[Figure]:
    """All sockets on one member's stream."""
    return await _measure(plan, "shared")


async def measure_own(plan: Plan) -> Sequence[Figure]:
    """Each socket on its own member's."""
    return await _measure(plan, "own")


async def rate(server: Served, members: Sequence[int], requests: int) -> Rate:
    """After a warm-up of one request. Raises RuntimeError where anything is wrong."""
    tally = Tally()
    clients = await follow(server.port, members, server.token, tally)
    distinct = sorted(set(members))
    try:
        found = Rate(0.0, 0.0)
        for first, end in ((0, 1), (1, 1 + requests)):
            tally.expect(len(members) * (end - first) * EVENTS_A_REQUEST)
            publish = server.prepare(distinct, first, end)
            before, used, began = tally.delivered, cpu_seconds(server.pid), time.perf_counter()
            await publish()
            async with asyncio.timeout(_LONGEST_SECONDS):
                await tally.done.wait()
            count = tally.delivered - before
            found = Rate(count / (tally.last - began), (cpu_seconds(server.pid) - used) / count * 1e6)
            await asyncio.sleep(0.5)
        tally.check()
    finally:
        for client in clients:
            client.close()
    return found


def members_of(kind: str, sockets: int) -> Sequence[int]:
    """Whom each socket follows."""
    return [0] * sockets if kind == "shared" else range(sockets)


async def _measure(plan: Plan, kind: str) -> Sequence[Figure]:
    sockets = sockets_possible(plan.of(_SOCKETS))

    async def one(system: str) -> Rate:
        async with served(system, plan.services) as server:
            return await rate(server, members_of(kind, sockets), REQUESTS[kind][system])

    found = await interleaved(kind, plan.systems, plan.rounds, one)
    middle = {system: statistics.median(each.per_second for each in rates) for system, rates in found.items()}
    return [
        Figure(f"{kind} streams, covey / {rival}", middle["covey"] / middle[rival], ">=", bar)
        for rival, bar in _BARS[kind].items()
        if "covey" in middle and rival in middle
    ]
