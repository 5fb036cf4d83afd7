"""Submits over Kafka and Redis: the time until a durable answer, the rate beside a log in memory, and two gateways.

    scripts/services start
    python -m bench.shared_submit

Nobody makes calls, so what is measured is accepting: validation, the log, the views, the queue, the answer. The servers
take turns, round by round, so that a noisy machine is noisy for all of them. What a server computes for one submit is
printed too: that is what is left of the figures where the machine is shared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop

from bench.load import Times, paced, saturated
from bench.report import Figure, report
from bench.servers import Server, covey, cpu_seconds, serve, service_token, shared, silent_payer, until_ready
from bench.submit import submit_body

PACE: Final = 300
CONNECTIONS: Final = 192
"""So many that a gateway computes all the time: a submit goes through Kafka and Redis, and waits there meanwhile."""
CORES_FOR_TWO: Final = 5
"""Two gateways, Kafka, Redis and the load: on fewer cores they take from each other what the second would add."""
_ACCEPTED: Final = b"CoverageRequestAccepted"
_WARMING_SECONDS: Final = 2.0


class Rates:
    """What saturated servers did, by name and round."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._rates: dict[str, list[float]] = defaultdict(list)
        self._computed: dict[str, list[float]] = defaultdict(list)

    async def add(self, name: str, servers: list[Server], token: str) -> None:
        """Saturate the servers together, so many connections in all."""
        await self._saturate(servers, token, _WARMING_SECONDS)
        before = sum(cpu_seconds(server.pid) for server in servers)
        found = await self._saturate(servers, token, self._seconds)
        submits = sum(len(times.seconds) for times in found)
        computed = sum(cpu_seconds(server.pid) for server in servers) - before
        self._rates[name].append(sum(times.rate for times in found))
        self._computed[name].append(1_000 * computed / submits)

    def median(self, name: str) -> float:
        """A second."""
        return statistics.median(self._rates[name])

    def print(self) -> None:
        for name, rates in self._rates.items():
            every = ", ".join(f"{rate:.0f}" for rate in rates)
            print(f"{name}: {every} submits/s; {statistics.median(self._computed[name]):.2f} ms computed for each")

    async def _saturate(self, servers: list[Server], token: str, seconds: float) -> list[Times]:
        connections = CONNECTIONS // len(servers)
        return await asyncio.gather(
            *(
                saturated(one.port, token, submit_body, _ACCEPTED, connections=connections, seconds=seconds)
                for one in servers
            )
        )


async def _paced(data: Path, env: Mapping[str, str], seconds: float) -> Times | None:
    """None where a submit was refused: more was asked for than could be taken, and waited until its time was up."""
    async with serve(data, env=env) as server:
        token = service_token(data)
        await until_ready(server.port)
        try:
            await paced(server.port, token, submit_body, _ACCEPTED, per_second=PACE, seconds=5)
            return await paced(server.port, token, submit_body, _ACCEPTED, per_second=PACE, seconds=seconds)
        except* RuntimeError as refused:
            print(f"at {PACE}/s: {refused.exceptions[0]}")
    return None


async def _over_kafka(data: Path, rates: Rates, name: str, count: int) -> None:
    async with silent_payer() as payer_url, shared(data, payer_url=payer_url) as env, AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(data, env=env)) for _ in range(count)]
        for server in servers:
            await until_ready(server.port)
        await rates.add(name, servers, service_token(data))


async def _in_memory(data: Path, rates: Rates) -> None:
    async with silent_payer() as payer_url, covey(data, log="memory", payer_url=payer_url) as server:
        await rates.add("memory", [server], service_token(data))


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--paced-seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    rates = Rates(arguments.seconds)
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with silent_payer() as payer_url, shared(folder / "paced", payer_url=payer_url) as env:
            times = await _paced(folder / "paced", env, arguments.paced_seconds)
        for turn in range(arguments.rounds):
            await _over_kafka(folder / f"one-{turn}", rates, "one gateway", 1)
            await _in_memory(folder / f"memory-{turn}", rates)
            await _over_kafka(folder / f"two-{turn}", rates, "two gateways", 2)
    p99 = inf
    if times is not None:
        p99 = times.calm_percentile_ms(99)
        windows = ", ".join(f"{window.percentile_ms(99):.0f}" for window in times.windows(5))
        print(f"at {PACE}/s: p50 {times.percentile_ms(50):.1f} ms; p99 of five windows {windows} ms")
    rates.print()
    one, two = rates.median("one gateway"), rates.median("two gateways")
    figures = [
        Figure(f"submit durable in Kafka at {PACE}/s, p99 ms, median window", p99, "<=", 100),
        Figure("submit rate, Kafka and Redis / memory log", one / rates.median("memory"), ">=", 0.60),
    ]
    cores = os.cpu_count() or 1
    if cores >= CORES_FOR_TWO:
        figures.append(Figure("submit rate, two gateways / one", two / one, ">=", 1.6))
    else:
        print(f"two gateways / one: {two / one:.2f}; with {cores} cores it cannot be told (bar 1.6)")
    return report(figures)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
