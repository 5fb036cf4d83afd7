"""100,000 frames, messages, bodies and documents that nobody means well with: no crash, nothing shown, nothing kept.

python -m bench.fuzz [--cases 100000] [--seed 1]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop

from bench.report import Figure, report
from tests.conformance.counted import Counted, blocks_grown, left_behind
from tests.conformance.fuzzing import Fuzz

_WARM_UP: Final = 5_000
_SETTLE_SECONDS: Final = 3


async def fuzz(cases: int, seed: int) -> int:
    """Run it and print what was found; 1 where a bar is missed."""
    with tempfile.TemporaryDirectory() as folder:
        server = await Counted.start(Path(folder))
        try:
            token = server.token()
            await Fuzz(server.port, token, seed + 1).run(_WARM_UP)
            await asyncio.sleep(_SETTLE_SECONDS)
            before, memory_before = await server.held(), server.resident_bytes()
            started = time.perf_counter()
            clients = Fuzz(server.port, token, seed)
            await clients.run(cases)
            seconds = time.perf_counter() - started
            await asyncio.sleep(_SETTLE_SECONDS)
            alive = server.process.process.returncode is None
            after, memory_after = await server.held(), server.resident_bytes()
            log = server.process.stderr.read_text()
        finally:
            await server.process.kill()
    more = left_behind(before, after)
    print(f"seed {seed}; {cases} cases in {seconds:.0f} s")
    for outcome, count in sorted(clients.outcomes.items()):
        print(f"  {outcome:<40} {count}")
    print(*(f"wrong: {each}" for each in clients.wrong), sep="\n")
    print(*(line for line in log.splitlines() if "internal_error" in line), sep="\n")
    print(f"left behind: {more or 'nothing'}")
    print(f"memory: {memory_before / 2**20:.1f} MiB before, {memory_after / 2**20:.1f} MiB after")
    wrong = sum(count for outcome, count in clients.outcomes.items() if outcome.endswith("leak"))
    return report(
        [
            Figure("alive", alive, ">=", 1),
            Figure("answers that are none of the contract's", wrong, "<=", 0),
            Figure("internal errors", log.count("internal_error"), "<=", 0),
            Figure("stack traces in the log", log.count("Traceback") + log.count('"exception"'), "<=", 0),
            Figure("log written, KiB per 1,000 cases", len(log) / 1024 / (cases / 1000), "<=", 1000),
            Figure("kinds of things left behind", sum(map(len, more.values())), "<=", 0),
            Figure("memory in use grown, %", blocks_grown(before, after), "<=", 5),
            Figure("resident memory grown, MiB", (memory_after - memory_before) / 2**20, "<=", 10),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(fuzz(given.cases, given.seed)))
