"""The scheduler's bars over many seeds, in virtual time: one line a figure, exit 1 if one fails.

Takes about a quarter of an hour on two cores; how far it is goes to stderr.

    python -m bench.simulation [--seeds 100] [--tenant-seeds 1000] [--processes 2]

The worlds are those of tests/scheduler/scenarios.py; tests run a few of the same seeds.
"""

from __future__ import annotations

import argparse
import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from time import perf_counter
from typing import Final, TypeVar

from bus.events import Priority
from bus.ids import TenantId
from tests.scheduler.controls import LeastServed, RoundRobin, StaticSplit, unguarded
from tests.scheduler.scenarios import (
    DeadPayer,
    Flood,
    Overload,
    dead_payer,
    flood,
    head_start,
    mixed_tenants,
    overload,
    shares,
)
from tests.scheduler.simulation import MEAN_SECONDS, quantile

FLOOD_SECONDS: Final = 3_000.0
DEAD_PAYER_SECONDS: Final = 7_200.0
SHARES_SECONDS: Final = 1_500.0
WEIGHTS: Final = {TenantId("one"): 1.0, TenantId("two"): 2.0, TenantId("four"): 4.0}
WINDOW_SECONDS: Final = 10 * MEAN_SECONDS * len(WEIGHTS)


_Figures = TypeVar("_Figures")


class Runs:
    """Runs worlds in several processes, and tells how far it is."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._began = perf_counter()

    def of(self, world: Callable[[int], _Figures], seeds: Sequence[int]) -> list[_Figures]:
        """What the world gives for each seed."""
        figures: list[_Figures] = []
        tenth = max(len(seeds) // 10, 1)
        for one in self._pool.map(world, seeds):
            figures.append(one)
            if len(figures) % tenth == 0:
                seconds = perf_counter() - self._began
                print(
                    f"{seconds:5.0f} s  {world.__name__}: {len(figures)} of {len(seeds)}", file=sys.stderr, flush=True
                )
        return figures


class Report:
    """Prints each figure beside its bar."""

    def __init__(self) -> None:
        self.failed = False

    def at_most(self, name: str, figure: float, bar: float) -> None:
        self._line(name, figure, "<=", bar, figure <= bar)

    def at_least(self, name: str, figure: float, bar: float) -> None:
        self._line(name, figure, ">=", bar, figure >= bar)

    def control(
        self, name: str, figure: float, bar: float, fails: Callable[[float, float], bool] = operator.gt
    ) -> None:
        """A control must miss the bar."""
        self._line(f"{name} (control, must miss)", figure, "!", bar, fails(figure, bar))

    def _line(self, name: str, figure: float, sign: str, bar: float, passed: bool) -> None:
        self.failed |= not passed
        print(f"{name:<78} {figure:>11.3f}  {sign:>2} {bar:<9g} {'PASS' if passed else 'FAIL'}", flush=True)


def crowd(seed: int) -> Flood:
    return flood(seed, FLOOD_SECONDS)


def larger_crowd(seed: int) -> Flood:
    return flood(seed, FLOOD_SECONDS, interactive_rate=2.0)


def split_crowd(seed: int) -> Flood:
    return flood(seed, FLOOD_SECONDS, enrollment_rate=0.0, make=StaticSplit)


def hung(seed: int) -> DeadPayer:
    return dead_payer(seed, DEAD_PAYER_SECONDS)


def hung_unguarded(seed: int) -> DeadPayer:
    return dead_payer(seed, DEAD_PAYER_SECONDS, make=unguarded)


def gap(seed: int) -> float:
    return shares(seed, SHARES_SECONDS, mixed_tenants(seed)).gap


def long_gap(seed: int) -> float:
    return shares(seed, 20_000.0, mixed_tenants(seed)).gap


def round_robin_gap(seed: int) -> float:
    return shares(seed, SHARES_SECONDS, mixed_tenants(seed), make=RoundRobin).gap


def weight_errors(seed: int) -> tuple[float, float]:
    """Of the tenant that fared worst: over 20,000 s, and in the median window of ten mean calls a tenant."""
    divided = shares(seed, 20_000.0, dict.fromkeys(WEIGHTS, 1.0), weights=WEIGHTS, window_seconds=WINDOW_SECONDS)
    windows = [worst_error(window) for window in divided.windows]
    return worst_error(divided.slot_seconds), quantile(windows, 0.5)


def worst_error(slot_seconds: Mapping[TenantId, float]) -> float:
    total, weights = sum(slot_seconds.values()), sum(WEIGHTS.values())
    return max(abs(slot_seconds[tenant_id] / total * weights / WEIGHTS[tenant_id] - 1) for tenant_id in WEIGHTS)


def least_served_head_start(seed: int) -> float:
    return head_start(seed, make=LeastServed)


def surge(seed: int) -> Overload:
    return overload(seed, 2_000.0)


def surge_and_backlog(seed: int) -> Overload:
    return overload(seed, 2_000.0, always_waiting=True)


def people(floods: Iterable[Flood]) -> list[float]:
    return [wait for one in floods for wait in one.interactive_waits]


def report_floods(report: Report, runs: Runs, seeds: Sequence[int]) -> None:
    usual, larger = runs.of(crowd, seeds), runs.of(larger_crowd, seeds)
    split = runs.of(split_crowd, seeds[:10])
    report.at_most(
        "bar 1: most calls in flight by the vendor's count", max(one.max_in_flight for one in usual + larger), 15
    )
    report.at_least(
        "bar 7: utilisation under flood, least of all seeds", min(one.utilisation for one in usual + larger), 0.99
    )
    report.control("bar 7: utilisation, static 10 + 5", min(one.utilisation for one in split), 0.99, operator.lt)
    report.at_most("bar 8: interactive wait p99, s, 1.0/s", quantile(people(usual), 0.99), 2.0)
    report.at_most("bar 8: interactive wait max, s, 1.0/s", max(people(usual)), 8.0)
    report.at_most("bar 8: interactive wait p99, s, 2.0/s", quantile(people(larger), 0.99), 3.5)
    report.control("bar 8: interactive wait p99, s, 1.0/s, static 10 + 5", quantile(people(split), 0.99), 2.0)
    for priority in Priority:
        ratios = [ratio for one in usual + larger for ratio in one.ratios[priority]]
        name = f"estimate: median of actual / estimated wait, {priority.lower()}"
        report.at_least(name, quantile(ratios, 0.5), 0.67)
        report.at_most(name, quantile(ratios, 0.5), 1.5)
        share_longer = sum(ratio > 1 for ratio in ratios) / len(ratios)
        report.at_most(f"estimate: share of waits longer than told, {priority.lower()}", share_longer, 0.6)


def report_payers(report: Report, runs: Runs, seeds: Sequence[int]) -> None:
    guarded = runs.of(hung, seeds)
    naked = runs.of(hung_unguarded, seeds[:3])
    waits = [wait for one in guarded for wait in one.other_waits]
    naked_waits = [wait for one in naked for wait in one.other_waits]
    report.at_most("bar 9: wait of other payers p99, s, one payer hangs", quantile(waits, 0.99), 2.5)
    report.at_most(
        "bar 9: hanging payer's share of slot-time after 5 min", max(one.hung_share for one in guarded), 0.10
    )
    report.control("bar 9: wait of other payers p99, s, no cap and no breaker", quantile(naked_waits, 0.99), 2.5)
    report.at_most("bar 1: most calls in flight, one payer hangs", max(one.max_in_flight for one in guarded), 15)


def report_tenants(report: Report, runs: Runs, seeds: Sequence[int], tenant_seeds: Sequence[int]) -> None:
    report.at_most(f"bar 10: widest gap, slot-s, {len(tenant_seeds)} seeds", max(runs.of(gap, tenant_seeds)), 600.0)
    report.at_most("bar 10: widest gap in 300,000 slot-s, slot-s", max(runs.of(long_gap, seeds[:20])), 600.0)
    report.control("bar 10: narrowest gap of any seed, round-robin", min(runs.of(round_robin_gap, seeds[:20])), 600.0)
    errors = runs.of(weight_errors, seeds[:10])
    report.at_most("bar 11: worst error of a weighted share over 20,000 s", max(whole for whole, _ in errors), 0.02)
    report.at_most(
        f"bar 11: the same in the median window of {WINDOW_SECONDS:.0f} s", max(window for _, window in errors), 0.10
    )
    report.at_most("bar 12: head start of a tenant that idled, slot-s", max(runs.of(head_start, seeds[:20])), 600.0)
    report.control("bar 12: the same, least served first", min(runs.of(least_served_head_start, seeds[:5])), 600.0)
    surges, pressed = runs.of(surge, seeds[:20]), runs.of(surge_and_backlog, seeds[:20])
    for priority in (Priority.ENROLLMENT, Priority.BACKGROUND):
        longest = max(one.longest_wait[priority] for one in surges)
        report.at_most(f"bar 13: longest wait, s, {priority.lower()}, interactive overload 4/s", longest, 120.0)
        slots = min(one.slots[priority] for one in pressed)
        report.at_least(f"bar 13: slots in use, {priority.lower()} always waiting, overload 4/s", slots, 0.999)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--tenant-seeds", type=int, default=1_000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    report, seeds = Report(), range(options.seeds)
    with ProcessPoolExecutor(options.processes) as pool:
        runs = Runs(pool)
        report_floods(report, runs, seeds)
        report_payers(report, runs, seeds[:20])
        report_tenants(report, runs, seeds, range(options.tenant_seeds))
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
