"""Deliveries a second on one core, beside stock Strawberry, Node's graphql-ws and bare picows.

    python -m bench.gateway --services FILE [--rounds 3] [--only covey,stock] [--sockets 1000]

FILE is what `scripts/services start` wrote: where Kafka and Redis listen. Covey reads its events from Kafka, as it is
served; the others get theirs as lines over a socket, which costs them less. Each server has the first core,
the load to the second; they take turns, and every client checks that it got exactly its events, in order. A rate is
what was delivered between the first event's sending and the last one's arrival; of all rounds the median counts. Exit 1
where a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop

from bench.gateway.clients import Tally, follow
from bench.gateway.covey import covey_under_load
from bench.gateway.events import EVENTS_A_REQUEST, member, plain, request_events
from bench.gateway.pinned import Publish, Served, cpu_seconds, pinned, until_listening
from bench.report import Figure, report
from bench.servers import free_port

SYSTEMS: Final = ("covey", "stock", "node", "picows")
SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
REQUESTS: Final = {
    "shared": {"covey": 24, "stock": 2, "node": 6, "picows": 24},
    "own": {"covey": 16, "stock": 1, "node": 3, "picows": 6},
}
"""Requests a member, so that every run lasts about as long."""
BARS: Final = {"shared": {"stock": 20.0, "node": 4.0}, "own": {"stock": 10.0, "node": 1.7}}


@dataclass(frozen=True)
class Rate:
    """What one run measured."""

    deliveries_per_second: float
    cpu_us: float
    """Of the server, a delivery: says more than the rate where the machine is busy with other things."""


@asynccontextmanager
async def _fed(*command: str) -> AsyncIterator[Served]:
    """A rival, and how events reach it."""
    feeds: list[asyncio.StreamWriter] = []
    joined = asyncio.Event()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        feeds.append(writer)
        joined.set()

    def prepare(members: Sequence[int], first: int, end: int) -> Publish:
        lines = [
            member(number).encode() + b" " + plain(event)
            for request in range(first, end)
            for number in members
            for event in request_events(number, request)
        ]
        parts = [b"".join(lines[start : start + 100]) for start in range(0, len(lines), 100)]

        async def publish() -> None:
            for part in parts:
                feeds[0].write(part)
                await feeds[0].drain()

        return publish

    async with await asyncio.start_server(take, "127.0.0.1") as server:
        port, feed = free_port(), server.sockets[0].getsockname()[1]
        async with pinned(SERVER_CORE, *command, str(port), str(feed)) as pid:
            await until_listening(port)
            await joined.wait()
            yield Served(port, pid, prepare)
            for writer in feeds:
                writer.close()


def _rival(system: str) -> tuple[str, ...]:
    if system == "node":
        return "node", "bench/gateway/node_server.mjs"
    return sys.executable, "-m", f"bench.gateway.{system}_server"


async def _rate(server: Served, token: str | None, members: Sequence[int], requests: int) -> Rate:
    """After a warm-up of one request."""
    tally = Tally()
    clients = await follow(server.port, list(members), token, tally)
    distinct = sorted(set(members))
    try:
        rate = Rate(0.0, 0.0)
        for first, end in ((0, 1), (1, 1 + requests)):
            tally.expect(len(members) * (end - first) * EVENTS_A_REQUEST)
            publish = server.prepare(distinct, first, end)
            before, used, began = tally.delivered, cpu_seconds(server.pid), time.perf_counter()
            await publish()
            async with asyncio.timeout(120):
                await tally.done.wait()
            count = tally.delivered - before
            rate = Rate(count / (tally.last - began), (cpu_seconds(server.pid) - used) / count * 1e6)
            await asyncio.sleep(0.5)
        if tally.wrong or tally.delivered != tally.expected:
            raise RuntimeError(f"{len(tally.wrong)} wrong, {tally.delivered} of {tally.expected}: {tally.wrong[:3]}")
    finally:
        for client in clients:
            client.close()
    return rate


async def measure(system: str, services: Mapping[str, str], kind: str, sockets: int) -> Rate:
    """One round of one system, on a server of its own."""
    members = [0] * sockets if kind == "shared" else list(range(sockets))
    async with AsyncExitStack() as stack:
        token = None
        if system == "covey":
            data = Path(stack.enter_context(TemporaryDirectory()))
            prefix = f"bench-{secrets.token_hex(4)}."
            server, token = await stack.enter_async_context(covey_under_load(services, data, prefix, SERVER_CORE))
        else:
            server = await stack.enter_async_context(_fed(*_rival(system)))
        return await _rate(server, token, members, REQUESTS[kind][system])


async def main() -> int:
    arguments = argparse.ArgumentParser(prog="bench.gateway")
    arguments.add_argument("--services", type=lambda path: Path(path).read_text(), required=True)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", default=",".join(SYSTEMS))
    arguments.add_argument("--kinds", default="shared,own")
    arguments.add_argument("--sockets", type=int, default=1000)
    given = arguments.parse_args()
    services: Mapping[str, str] = json.loads(given.services)
    os.sched_setaffinity(0, {LOAD_CORE})
    systems = given.only.split(",")
    figures = []
    for kind in given.kinds.split(","):
        rates: dict[str, list[Rate]] = {system: [] for system in systems}
        for number in range(given.rounds):
            for system in systems:
                rates[system].append(await measure(system, services, kind, given.sockets))
                load = os.getloadavg()[0]
                print(
                    f"{kind} {number + 1} {system:<8} {rates[system][-1].deliveries_per_second:>10,.0f} deliveries/s"
                    f" {rates[system][-1].cpu_us:>8.1f} us of CPU each   load {load:.1f}",
                    flush=True,
                )
        middle = {
            system: statistics.median(rate.deliveries_per_second for rate in found) for system, found in rates.items()
        }
        figures += [
            Figure(f"{kind} streams, covey / {rival}", middle["covey"] / middle[rival], ">=", bar)
            for rival, bar in BARS[kind].items()
            if "covey" in middle and rival in middle
        ]
    return report(figures)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
