"""Covey as it is served, over its durable log or over one that only keeps events in memory.

python -m bench.covey_server PORT sqlite|memory
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

import app
import logs
from bus.clock import Clock
from bus.ids import random_id
from bus.memory_log import MemoryLog
from bus.metrics import Metrics
from bus.sealing import Sealer
from settings import Settings, load
from wiring.embedded import DurableLog, open_sqlite_log


async def open_memory_log(settings: Settings, clock: Clock, metrics: Metrics, sealer: Sealer) -> DurableLog:  # noqa: ARG001
    """In place of the durable log; what it is measured against."""
    return await MemoryLog.open(random_id)


if __name__ == "__main__":
    logs.configure(level="error", json_lines=True)
    open_log = open_memory_log if sys.argv[2] == "memory" else open_sqlite_log
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as `covey serve` does
        sys.exit(runner.run(app.serve(load(), host="127.0.0.1", port=int(sys.argv[1]), open_log=open_log)))
