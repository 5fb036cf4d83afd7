"""The gateway on one core, beside stock Strawberry, Node's graphql-ws and bare picows.

    python -m bench.gateway --services FILE [--only shared,idle] [--systems covey,node] [--rounds 3] [--scale 0.1]

FILE is what `scripts/services start` wrote: where Kafka and Redis listen. Covey reads its events from Kafka, as it is
served; the others get theirs as lines over a socket, which costs them less; where times are compared, the rivals in
Python read Kafka too. Each server has the first core, the load the second; they take turns, and every client checks
that it got exactly its events, in order. Of all rounds the median counts. Exit 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import uvloop

from bench.gateway.first_event import measure_first_event
from bench.gateway.idle import measure_idle
from bench.gateway.latency import measure_beside_stalled, measure_broadcast, measure_single
from bench.gateway.memory import measure_memory
from bench.gateway.metrics_cost import measure_metrics_cost
from bench.gateway.pinned import LOAD_CORE
from bench.gateway.plan import Plan
from bench.gateway.rates import measure_own, measure_shared
from bench.gateway.reconnect import measure_reconnect
from bench.report import Figure, report

MEASURES: Final[Mapping[str, Callable[[Plan], Awaitable[Sequence[Figure]]]]] = {
    "shared": measure_shared,
    "own": measure_own,
    "latency": measure_broadcast,
    "single": measure_single,
    "memory": measure_memory,
    "idle": measure_idle,
    "reconnect": measure_reconnect,
    "stalled": measure_beside_stalled,
    "first": measure_first_event,
    "metrics": measure_metrics_cost,
}
SYSTEMS: Final = ("covey", "stock", "node", "picows")


async def main() -> int:
    arguments = argparse.ArgumentParser(prog="bench.gateway")
    arguments.add_argument("--services", type=lambda path: Path(path).read_text(), required=True)
    arguments.add_argument("--only", default=",".join(MEASURES), help="of " + ", ".join(MEASURES))
    arguments.add_argument("--systems", default=",".join(SYSTEMS), help="of " + ", ".join(SYSTEMS))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--scale", type=float, default=1.0, help="of all numbers of sockets")
    given = arguments.parse_args()
    plan = Plan(
        services=json.loads(given.services), systems=given.systems.split(","), rounds=given.rounds, scale=given.scale
    )
    os.sched_setaffinity(0, {LOAD_CORE})
    figures = [figure for name in given.only.split(",") for figure in await MEASURES[name](plan)]
    return report(figures)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
