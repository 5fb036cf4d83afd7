"""What one decision of the scheduler costs with 1,000, 10,000 and 100,000 waiting: bar 28, and how it grows.

    python -m bench.scheduler_decision [--decisions 3000]

500 tenants wait in one class, which is the worst case, for 40 payers. Two of these are asked for by half of all, and so
are at their caps most of the time. Every kind of decision is timed by itself; an offer includes the place it answers.

A decision waits for nothing, so what it costs is the processor's time: the bars are about that, and others on the
machine do not lengthen it. The time on the wall is printed beside it, as the median over five windows. The three sizes
are measured in turns. Growth is that of the median, from 1,000 waiting on. Exit 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from functools import partial
from math import log
from random import Random
from statistics import median
from time import perf_counter, thread_time
from typing import Final, TypeVar

from bench.load import Times
from bus.events import Priority
from bus.ids import CallId, PayerId, RequestId, TenantId
from scheduler.admission import Ask, CallEnd
from scheduler.core import AdmissionCore
from scheduler.policy import AdmissionPolicy
from tests.scheduler.simulation import numbered_ids

TENANTS: Final = 500
PAYERS: Final = 40
BUSY_PAYERS: Final = 2
SIZES: Final = (1_000, 10_000, 100_000)
BARRED_SIZE: Final = 10_000
BAR_MS: Final = 1.0
WINDOWS: Final = 5
STEP_SECONDS: Final = 0.3
KINDS: Final = ("expired", "settle", "offer", "grant", "place", "leave", "wakeup")

_Decision = TypeVar("_Decision")


class World:
    """A queue that keeps its length, while all slots are busy."""

    def __init__(self, waiting: int) -> None:
        self.wall: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.processor: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self._random = Random(waiting)
        self._core = AdmissionCore(AdmissionPolicy(queue_limit=10**9), numbered_ids())
        self._now = 0.0
        self._asked = 0
        self._waiting: list[RequestId] = []
        self._calls: list[CallId] = []
        self._expiries = 0
        for number in range(waiting):
            self._core.offer(self._ask(expires=number % 4 == 0), 0.0)
        while (grant := self._core.grant(0.0)) is not None:
            self._calls.append(grant.call_id)

    def step(self) -> None:
        """One decision of each kind, and as many offers as calls leave the queue."""
        self._now += STEP_SECONDS
        now, core, random = self._now, self._core, self._random
        expired = self._timed("expired", lambda: core.expired(now))
        call_id = self._calls.pop(random.randrange(len(self._calls)))
        self._timed("settle", lambda: core.settle(call_id, CallEnd.ANSWERED, now))
        for number in range(2 + len(expired)):
            ask = self._ask(expires=number == 2)
            self._timed("offer", partial(core.offer, ask, now))
        grant = self._timed("grant", lambda: core.grant(now))
        if grant is not None:
            self._calls.append(grant.call_id)
        request_id = self._one_that_waits()
        self._timed("place", lambda: core.place(request_id, now))
        self._timed("leave", lambda: core.leave(request_id, now))
        self._timed("wakeup", lambda: core.next_wakeup(now))

    def _timed(self, kind: str, decide: Callable[[], _Decision]) -> _Decision:
        processor, wall = thread_time(), perf_counter()
        decision = decide()
        self.wall[kind].append(perf_counter() - wall)
        self.processor[kind].append(thread_time() - processor)
        return decision

    def _ask(self, *, expires: bool) -> Ask:
        """One that expires does so in a step of its own."""
        self._asked += 1
        self._expiries += expires
        busy = self._random.random() < 0.5
        request_id = RequestId(f"request-{self._asked}")
        self._waiting.append(request_id)
        return Ask(
            request_id=request_id,
            tenant_id=TenantId(f"tenant-{self._asked % TENANTS}"),
            payer_id=PayerId(f"payer-{self._random.randrange(BUSY_PAYERS if busy else PAYERS)}"),
            question_key=f"question-{self._asked}",
            priority=Priority.INTERACTIVE,
            deadline=(self._expiries + 0.5) * STEP_SECONDS if expires else 1e9,
        )

    def _one_that_waits(self) -> RequestId:
        while True:
            index = self._random.randrange(len(self._waiting))
            self._waiting[index], self._waiting[-1] = self._waiting[-1], self._waiting[index]
            request_id = self._waiting.pop()
            if self._core.place(request_id, self._now) is not None:
                return request_id


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=3_000)
    options = parser.parse_args()
    worlds = {}
    for size in SIZES:
        print(f"filling: {size:,} waiting", file=sys.stderr, flush=True)
        worlds[size] = World(size)
    gc.collect()
    for window in range(WINDOWS):
        print(f"measuring: window {window + 1} of {WINDOWS}", file=sys.stderr, flush=True)
        for world in worlds.values():
            for _ in range(options.decisions // WINDOWS):
                world.step()
    failed = False
    for size, world in worlds.items():
        for kind in KINDS:
            wall, processor = Times(world.wall[kind], 1), Times(world.processor[kind], 1)
            p99_ms = processor.percentile_ms(99)
            verdict = ""
            if size == BARRED_SIZE:
                failed |= p99_ms > BAR_MS
                verdict = f"  bar <= {BAR_MS:g} {'PASS' if p99_ms <= BAR_MS else 'FAIL'}"
            p50_ms = processor.percentile_ms(50)
            print(
                f"{size:>7} waiting, {kind:<7}  p50 {p50_ms:6.3f} ms, p99 {p99_ms:6.3f} ms{verdict}  "
                f"(wall p50 {wall.calm_percentile_ms(50):6.3f} ms, p99 {wall.calm_percentile_ms(99):6.3f} ms)"
            )
    smallest = worlds[SIZES[0]]
    for kind in KINDS:
        for size in SIZES[1:]:
            growth = median(worlds[size].processor[kind]) / median(smallest.processor[kind])
            bar = log(size) / log(SIZES[0])
            failed |= growth > bar
            verdict = "PASS" if growth <= bar else "FAIL"
            print(f"{kind:<7} {SIZES[0]} -> {size:>6} waiting: {growth:4.2f} times  bar <= {bar:.2f} (log n) {verdict}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
