"""What a subscribed connection costs in memory where everybody has a stream of their own."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from typing import Final

from bench.gateway.clients import follow
from bench.gateway.pinned import resident_bytes
from bench.gateway.plan import Plan
from bench.gateway.systems import interleaved, served, sockets_possible
from bench.gateway.tally import Tally
from bench.report import Figure

_SOCKETS: Final = 1000
_FIRST: Final = 50
"""Connected before the measurement: what they bring in is not a connection's cost."""
_SETTLE_SECONDS: Final = 3.0
_BAR_KIB: Final = 40.0
_BAR_OF_STOCK: Final = 0.6


async def measure_memory(plan: Plan) -> Sequence[Figure]:
    """Resident memory of the process, a connection that follows a member and rests."""
    sockets = sockets_possible(plan.of(_SOCKETS))

    async def one(system: str) -> float:
        async with served(system, plan.services) as server:
            tally = Tally()
            clients = await follow(server.port, range(sockets, sockets + _FIRST), server.token, tally)
            await asyncio.sleep(_SETTLE_SECONDS)
            before = resident_bytes(server.pid)
            clients += await follow(server.port, range(sockets), server.token, tally)
            await asyncio.sleep(_SETTLE_SECONDS)
            after = resident_bytes(server.pid)
            tally.check()
            for client in clients:
                client.close()
            return round((after - before) / sockets / 1024, 1)

    found = await interleaved("KiB a connection", plan.beside("stock", "node", "picows"), plan.rounds, one)
    figures = list(plan.ratio("memory of a connection", found, "stock", _BAR_OF_STOCK))
    if "covey" in found:
        value = statistics.median(found["covey"])
        figures.insert(0, Figure(f"memory of a connection, {sockets} own streams, KiB", value, "<=", _BAR_KIB))
    return figures
