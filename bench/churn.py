"""An hour of clients that come and go, in minutes: what is left of 100,000 of them.

    python -m bench.churn [--visits 100000] [--seed 1] [--kafka HOST:PORT]

Every visit ends in one of a dozen ways (tests/conformance/churning.py). Before and after, with nobody there, the
server's tasks, files, gauges and living objects are counted; what there is more of is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import uvloop

from bench.report import Figure, report
from tests.conformance.churning import Churn
from tests.conformance.counted import Counted, blocks_grown, left_behind
from tests.conformance.shared import redis_keys, shared_state

_WARM_UP: Final = 3_000
_AT_ONCE: Final = 50
_ROUNDS: Final = 10
"""After each the memory is told: so a leak is told from what is taken once."""
_SETTLE_SECONDS: Final = 30
"""For the last of the dead to be noticed, and for buckets of members to be full again."""


async def _settled(server: Counted) -> None:
    async with asyncio.timeout(_SETTLE_SECONDS):
        while any(value for name, value in (await server.held())["gauges"].items() if "connections" in name):
            await asyncio.sleep(1)
    await asyncio.sleep(_SETTLE_SECONDS / 3)


@asynccontextmanager
async def _server(folder: Path, kafka: str | None) -> AsyncIterator[tuple[Counted, str | None]]:
    """The server, and its Redis' address if it has one."""
    async with AsyncExitStack() as stack:
        settings = {} if kafka is None else await stack.enter_async_context(shared_state(folder, kafka))
        server = await Counted.start(folder, max_connections="2000", **settings)
        stack.push_async_callback(server.process.kill)
        yield server, settings.get("state")


async def churn(visits: int, seed: int, kafka: str | None) -> int:
    """Run it and print what was found; 1 where something is left behind."""
    with tempfile.TemporaryDirectory() as folder:
        async with _server(Path(folder), kafka) as (server, state):
            clients = Churn(server.port, server.token, seed)
            await clients.run(_WARM_UP, _AT_ONCE)
            clients.ends.clear()
            await _settled(server)
            before, memory_before = await server.held(), server.resident_bytes()
            keys_before = await redis_keys(state) if state else {}
            started = time.perf_counter()
            for _ in range(_ROUNDS):
                await clients.run(visits // _ROUNDS, _AT_ONCE)
                print(f"{server.resident_bytes() / 2**20:.1f} MiB", end=" ", flush=True)
            seconds = time.perf_counter() - started
            await _settled(server)
            after, memory_after = await server.held(), server.resident_bytes()
            keys = await redis_keys(state) if state else {}
            errors = server.process.stderr.read_text().count("internal_error")
    more = left_behind(before, after)
    print(f"\nseed {seed}; {visits} visits in {seconds:.0f} s: {dict(clients.ends)}")
    print(f"left behind: {more or 'nothing'}")
    print(f"keys in Redis: {len(keys_before)} before, {len(keys)} after; new: {sorted(keys.keys() - keys_before)[:20]}")
    print(f"memory: {memory_before / 2**20:.1f} MiB before, {memory_after / 2**20:.1f} MiB after")
    return report(
        [
            Figure("kinds of things left behind", sum(map(len, more.values())), "<=", 0),
            Figure("new keys in Redis", len(keys.keys() - keys_before), "<=", 0),
            Figure("internal errors", errors, "<=", 0),
            Figure("memory in use grown, %", blocks_grown(before, after), "<=", 5),
            Figure("resident memory grown, MiB", (memory_after - memory_before) / 2**20, "<=", 10),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kafka", help="an address; with a Redis of its own instead of everything in one process")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(churn(given.visits, given.seed, given.kafka)))
