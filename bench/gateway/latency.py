"""How late events arrive: a few to many sockets at once, many to single ones, and beside a reader that stalls."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple

from bench.gateway.clients import Client, connect_stalling, follow
from bench.gateway.pace import Pace
from bench.gateway.pinned import Served
from bench.gateway.plan import Plan
from bench.gateway.systems import interleaved, served, sockets_possible
from bench.gateway.tally import Tally, TimedTally
from bench.report import Figure

_TO_ALL: Final = ((1000, 0.6), (5000, 0.1))
"""Sockets on one stream, and the part of Node's time that Covey may take."""
_TO_ALL_PER_SECOND: Final = 2.0
_TO_ONE_PER_SECOND: Final = 50.0
_SOCKETS: Final = 1000
_SECONDS: Final = 20.0
_BESIDE_STALLED_PER_SECOND: Final = 5.0
_STALLED_BAR: Final = 1.1
_SINGLE_BAR: Final = 1.5
_FLOOD_MEMBER: Final = 10**6
_FLOOD_REQUESTS: Final = 100
"""Half a megabyte: the reader's buffers are full, the server has stopped writing to it."""


class Late(NamedTuple):
    """Of one round."""

    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:8.1f} ms, p99 {self.p99_ms:8.1f} ms"


async def measure_broadcast(plan: Plan) -> Sequence[Figure]:
    """Two events a second to everybody."""
    figures: list[Figure] = []
    for wanted, bar in _TO_ALL:
        sockets = sockets_possible(plan.of(wanted))

        async def one(system: str, sockets: int = sockets) -> Late:
            async with served(system, plan.services, timed=True) as server:
                return await _late(server, [0] * sockets, _TO_ALL_PER_SECOND)

        name = f"2 events/s to {sockets}"
        found = await interleaved(name, plan.beside("node", "picows"), plan.rounds, one)
        figures += plan.ratio(f"{name}, p99", _p99(found), "node", bar)
    return figures


async def measure_single(plan: Plan) -> Sequence[Figure]:
    """Fifty events a second, each to one socket."""
    sockets = sockets_possible(plan.of(_SOCKETS))

    async def one(system: str) -> Late:
        async with served(system, plan.services, timed=True) as server:
            return await _late(server, range(sockets), _TO_ONE_PER_SECOND)

    name = "50 events/s to single sockets"
    found = await interleaved(name, plan.beside("node", "picows"), plan.rounds, one)
    return plan.ratio(f"{name}, p99", _p99(found), "picows", _SINGLE_BAR)


async def measure_beside_stalled(plan: Plan) -> Sequence[Figure]:
    """Covey with a reader among the others that stopped reading, and without."""
    sockets = sockets_possible(plan.of(_SOCKETS))

    async def one(kind: str) -> Late:
        async with served("covey", plan.services) as server:
            with ExitStack() as stack:
                if kind == "stalled":
                    stack.callback((await _stalled(server)).close)
                return await _late(server, [0] * (sockets - 1), _BESIDE_STALLED_PER_SECOND)

    found = await interleaved(f"one of {sockets}", ("all read", "stalled"), plan.rounds, one)
    calm, beside = (statistics.median(late.p99_ms for late in found[kind]) for kind in ("all read", "stalled"))
    return [Figure(f"p99 of {sockets - 1} beside a stalled reader / without", beside / calm, "<=", _STALLED_BAR)]


async def _late(server: Served, numbers: Sequence[int], per_second: float) -> Late:
    tally = TimedTally()
    clients = await follow(server.port, numbers, server.token, tally)
    try:
        pace = Pace(server, tally, {number: numbers.count(number) for number in dict.fromkeys(numbers)})
        await pace.warm_up(per_second)
        times = await pace.times(per_second, _SECONDS)
    finally:
        for client in clients:
            client.close()
    return Late(times.percentile_ms(50), times.percentile_ms(99))


async def _stalled(server: Served) -> Client:
    """Reads nothing; what it also subscribed to is more than its buffers take."""
    client = Client(_FLOOD_MEMBER, server.token, Tally())
    await connect_stalling(server.port, client)
    client.stall()
    await server.prepare([_FLOOD_MEMBER], 0, _FLOOD_REQUESTS)()
    return client


def _p99(found: dict[str, list[Late]]) -> dict[str, list[float]]:
    return {system: [late.p99_ms for late in lates] for system, lates in found.items()}
