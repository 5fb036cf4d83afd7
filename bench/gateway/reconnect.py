"""Everybody is cut off, misses ten events, and comes back at once, beside others who go on."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from bench.gateway.clients import connect, follow
from bench.gateway.events import EVENTS_A_REQUEST
from bench.gateway.pace import Pace
from bench.gateway.pinned import Served
from bench.gateway.plan import Plan
from bench.gateway.systems import interleaved, served, sockets_possible
from bench.gateway.tally import Tally, TimedTally
from bench.report import Figure

_CLIENTS: Final = 2000
_OTHERS: Final = 500
_OTHERS_MEMBER: Final = 10**6
_OTHERS_PER_SECOND: Final = 5.0
_CALM_SECONDS: Final = 10.0
_MISSED_REQUESTS: Final = 2
_SETTLE_SECONDS: Final = 3.0
"""For a server to have done with what it was sent: it has told everybody before, or those who are there."""
_LONGEST_SECONDS: Final = 120.0
_BAR_OF_NODE: Final = 0.6
_BAR_OTHERS: Final = 10.0


class Return(NamedTuple):
    """Of one round."""

    seconds: float
    """From the first handshake until the last client had had all it missed, and followed."""
    lost: int
    repeated: int
    calm_p99_ms: float
    storm_p99_ms: float
    """Of live delivery to the others, before and while they return."""

    def __str__(self) -> str:
        return (
            f"{self.seconds:6.2f} s, {self.lost} lost, {self.repeated} repeated; "
            f"others' p99 {self.calm_p99_ms:.1f} ms, then {self.storm_p99_ms:.1f} ms"
        )


async def measure_reconnect(plan: Plan) -> Sequence[Figure]:
    """Covey's clients come with their cursors; the rivals know of none, so theirs only subscribe again."""
    clients, others = plan.of(_CLIENTS), plan.of(_OTHERS)
    sockets_possible(clients + others)

    async def one(system: str) -> Return:
        async with served(system, plan.services) as server:
            return await _return(server, clients, others, resuming=system == "covey")

    name = f"{clients} cut off and back"
    found = await interleaved(name, plan.beside("node"), plan.rounds, one)
    times = {system: [each.seconds for each in rounds] for system, rounds in found.items()}
    figures = list(plan.ratio(name, times, "node", _BAR_OF_NODE))
    if covey := found.get("covey"):
        growth = statistics.median(each.storm_p99_ms / each.calm_p99_ms for each in covey)
        figures += [
            Figure(f"{name}: missed events lost", sum(each.lost for each in covey), "<=", 0),
            Figure(f"{name}: events repeated", sum(each.repeated for each in covey), "<=", 0),
            Figure(f"{name}: p99 of {others} others / calm", growth, "<=", _BAR_OTHERS),
        ]
    return figures


async def _return(server: Served, clients: int, others: int, *, resuming: bool) -> Return:
    told, theirs = Tally(), TimedTally()
    watching = await follow(server.port, [_OTHERS_MEMBER] * others, server.token, theirs)
    cut = await follow(server.port, range(clients), server.token, told)
    pace = Pace(server, theirs, {_OTHERS_MEMBER: others})
    await pace.warm_up(_OTHERS_PER_SECOND)
    await _to_all(server, told, clients, 0, 1)
    await asyncio.sleep(_SETTLE_SECONDS)
    calm = await pace.times(_OTHERS_PER_SECOND, _CALM_SECONDS)
    for client in cut:
        client.close()
    await server.prepare(range(clients), 1, 1 + _MISSED_REQUESTS)()
    await asyncio.sleep(_SETTLE_SECONDS)

    back = [client.resumed() if resuming else client.anew() for client in cut]
    told.expect(clients * _MISSED_REQUESTS * EVENTS_A_REQUEST)
    stop = asyncio.Event()
    storm = asyncio.create_task(pace.times_until(_OTHERS_PER_SECOND, stop))
    began = time.perf_counter()
    await connect(server.port, back, at_once=clients)
    if resuming:
        await _until_told(told)
    took = time.perf_counter() - began
    stop.set()
    during = await storm
    # What is lost is missing now, and what is repeated, or comes late, spoils the order of what follows.
    await _to_all(server, told, clients, 1 + _MISSED_REQUESTS, 2 + _MISSED_REQUESTS)
    for client in (*watching, *back):
        client.close()
    if told.wrong:
        raise RuntimeError(f"{len(told.wrong)} wrong: {told.wrong[:3]}")
    lost = told.expected - told.delivered
    return Return(took, lost, told.repeated, calm.percentile_ms(99), during.percentile_ms(99))


async def _to_all(server: Served, tally: Tally, clients: int, first: int, end: int) -> None:
    """Events to each client, as fast as they go."""
    tally.expect(clients * (end - first) * EVENTS_A_REQUEST)
    await server.prepare(range(clients), first, end)()
    await _until_told(tally)


async def _until_told(tally: Tally) -> None:
    with suppress(TimeoutError):  # then some are lost, and counted
        async with asyncio.timeout(_LONGEST_SECONDS):
            await tally.done.wait()
