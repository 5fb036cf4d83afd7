"""A process of its own that writes a log: `python -m tests.bus.appending FILE PREFIX`.

Prints "open" when it has the log, then the id of each request once its append was answered; ends when killed.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

from bus.clock import SystemClock
from bus.ids import random_id
from bus.metrics import Metrics
from bus.sqlite.log import SqliteLog
from tests.bus.conftest import enqueued, submitted


async def main(path: Path, prefix: str) -> None:
    log = await SqliteLog.open(path, clock=SystemClock(), new_epoch=random_id, metrics=Metrics())
    sys.stdout.write("open\n")
    sys.stdout.flush()

    async def submit(writer: int) -> None:
        for number in count():
            first = submitted(f"{prefix}-{writer}-{number}")
            await log.append([first, enqueued(first)])
            sys.stdout.write(f"{first.subject}\n")
            sys.stdout.flush()

    await asyncio.gather(*(submit(writer) for writer in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
