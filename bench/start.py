"""A warm start: from the command to readiness, and the memory of an idle server.

python -m bench.start
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.compiled import compile_checkout
from bench.report import Figure, report
from bench.servers import serve, until_ready


def resident_mib(pid: int) -> float:
    """Resident memory of a process, as Linux tells it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("The kernel does not tell the resident memory of this process.")


async def main() -> int:
    compile_checkout()
    seconds: list[float] = []
    with TemporaryDirectory() as folder:
        for turn in range(6):
            began = time.perf_counter()
            async with serve(Path(folder)) as server:
                await until_ready(server.port)
                if turn:
                    seconds.append(time.perf_counter() - began)
                await asyncio.sleep(2)
                memory = resident_mib(server.pid)
    return report(
        [
            Figure("warm start to ready, median s", statistics.median(seconds), "<=", 2),
            Figure("resident memory idle, MiB", memory, "<=", 130),
        ]
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
