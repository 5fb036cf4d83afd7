"""What one decision of the scheduler costs with 1,000, 10,000 and 100,000 waiting: bar 28, and how it grows.

    python -m bench.scheduler_decision [--decisions 3000]

All wait in one class, which is the worst case. A decision is timed by itself: an offer (with the place it answers), a
grant, a settle, the next moment to wake up at. Exit 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import gc
import sys
from itertools import pairwise
from math import log
from random import Random
from time import perf_counter
from typing import Final

from bus.events import Priority
from bus.ids import PayerId, RequestId, TenantId, random_id
from scheduler.admission import Ask, CallEnd
from scheduler.core import AdmissionCore
from scheduler.policy import AdmissionPolicy

TENANTS: Final = 500
PAYERS: Final = 40
SIZES: Final = (1_000, 10_000, 100_000)
BAR_SECONDS: Final = 0.001
KINDS: Final = ("offer", "grant", "settle", "wakeup")


def an_ask(random: Random, number: int) -> Ask:
    return Ask(
        request_id=RequestId(f"request-{number}"),
        tenant_id=TenantId(f"tenant-{random.randrange(TENANTS)}"),
        payer_id=PayerId(f"payer-{random.randrange(PAYERS)}"),
        question_key=f"question-{number}",
        priority=Priority.INTERACTIVE,
        deadline=1e9,
    )


def measure(waiting: int, decisions: int) -> dict[str, list[float]]:
    """Seconds of each decision, while the queue keeps its length and all slots but one are busy."""
    random = Random(waiting)
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    core = AdmissionCore(AdmissionPolicy(queue_limit=10**9), random_id)
    for number in range(waiting):
        core.offer(an_ask(random, number), 0.0)
    calls, now = [], 1.0
    while (grant := core.grant(now)) is not None:
        calls.append(grant.call_id)
    gc.collect()
    for number in range(waiting, waiting + decisions):
        now += 0.3
        ask = an_ask(random, number)
        call_id = calls.pop(random.randrange(len(calls)))
        began = perf_counter()
        core.settle(call_id, CallEnd.ANSWERED, now)
        settled = perf_counter()
        core.offer(ask, now)
        offered = perf_counter()
        grant = core.grant(now)
        granted = perf_counter()
        core.next_wakeup(now)
        woken = perf_counter()
        assert grant is not None
        calls.append(grant.call_id)
        for kind, begin, end in (
            ("settle", began, settled),
            ("offer", settled, offered),
            ("grant", offered, granted),
            ("wakeup", granted, woken),
        ):
            seconds[kind].append(end - begin)
    return seconds


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=3_000)
    options = parser.parse_args()
    medians: dict[int, float] = {}
    failed = False
    for size in SIZES:
        seconds = measure(size, options.decisions)
        for kind in KINDS:
            p50, p99 = quantile(seconds[kind], 0.5), quantile(seconds[kind], 0.99)
            barred = size == 10_000
            passed = p99 <= BAR_SECONDS
            failed |= barred and not passed
            verdict = f"<= 1 ms {'PASS' if passed else 'FAIL'}" if barred else ""
            print(f"{size:>7} waiting, {kind:<6} p50 {p50 * 1e3:7.3f} ms  p99 {p99 * 1e3:7.3f} ms  {verdict}")
        medians[size] = sum(quantile(seconds[kind], 0.5) for kind in KINDS)
    for smaller, larger in pairwise(SIZES):
        ratio, bar = medians[larger] / medians[smaller], 1.5 * log(larger) / log(smaller)
        passed = ratio <= bar
        failed |= not passed
        verdict = f"bar {bar:.2f} (1.5 log n) {'PASS' if passed else 'FAIL'}"
        print(f"growth of the four medians together, {smaller} -> {larger} waiting: {ratio:.2f} times, {verdict}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
