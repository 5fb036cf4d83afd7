"""The bars of the scheduler that are measured over time, in virtual time, each beside a control that must fail it.

Few seeds and short spans: `python -m bench.simulation` runs the long ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from random import Random

import pytest

from bus.events import Priority
from bus.ids import RequestId, TenantId
from scheduler.admission import Ask
from scheduler.core import AdmissionCore
from scheduler.policy import AdmissionPolicy
from tests.scheduler.controls import LeastServed, RoundRobin, StaticSplit, unguarded
from tests.scheduler.scenarios import (
    dead_payer,
    flood,
    guarded,
    head_start,
    mixed_tenants,
    overload,
    shares,
    weighted,
)
from tests.scheduler.simulation import MEAN_SECONDS, Asks, Simulation, call_seconds, numbered_ids, quantile, stream

pytestmark = pytest.mark.unmeasured  # hours of decisions, five times as dear when each line is noted; others cover them
SEED = 7


def most_in_flight(lease_seconds: float) -> int:
    """By the vendor's count, where every third call outlasts the client's patience."""
    random, asks = Random(SEED), Asks(Random(SEED), payers=50)
    core = AdmissionCore(AdmissionPolicy(lease_seconds=lease_seconds), numbered_ids())
    simulation = Simulation(core, lambda ask: random.choice((3.0, 9.0, 121.0)))
    stream(simulation, random, 3.0, lambda: asks.make(simulation.now, seconds=600.0))
    simulation.run(600.0)
    return simulation.max_in_flight


def test_bar_01_the_vendor_never_counts_more_than_fifteen_calls() -> None:
    assert most_in_flight(lease_seconds=125.0) == 15


def test_bar_01_control_leases_shorter_than_the_vendor_counts_let_too_many_in() -> None:
    assert most_in_flight(lease_seconds=30.0) > 15


def test_bar_07_no_slot_idles_while_eligible_work_waits() -> None:
    figures = flood(SEED, 400.0)

    assert figures.utilisation >= 0.99
    assert figures.max_in_flight == 15


def test_bar_07_control_a_static_split_lets_slots_idle() -> None:
    assert flood(SEED, 400.0, enrollment_rate=0.0, make=StaticSplit).utilisation < 0.99


def test_bar_08_people_hardly_notice_an_endless_batch_flood() -> None:
    waits = flood(SEED, 700.0).interactive_waits

    assert quantile(waits, 0.99) <= 2.0
    assert max(waits) <= 8.0
    assert quantile(flood(SEED, 700.0, interactive_rate=2.0).interactive_waits, 0.99) <= 3.5


def test_bar_08_control_a_static_split_makes_people_wait() -> None:
    waits = flood(SEED, 700.0, enrollment_rate=0.0, make=StaticSplit).interactive_waits

    assert quantile(waits, 0.99) > 2.0
    assert max(waits) > 8.0


def test_bar_09_a_dead_payer_hinders_no_other() -> None:
    figures = dead_payer(SEED, 1_500.0)

    assert quantile(figures.other_waits, 0.99) <= 2.5
    assert figures.hung_share <= 0.10
    assert figures.max_in_flight <= 15


def test_bar_09_control_without_cap_and_breaker_a_dead_payer_takes_everything() -> None:
    figures = dead_payer(SEED, 1_500.0, make=unguarded)

    assert quantile(figures.other_waits, 0.99) > 2.5
    assert figures.hung_share > 0.10


def test_bar_10_tenants_share_slot_time_however_long_their_calls_are() -> None:
    assert shares(SEED, 1_200.0, mixed_tenants(SEED)).gap <= 600.0


def test_bar_10_control_round_robin_rewards_slow_calls() -> None:
    assert shares(SEED, 1_200.0, mixed_tenants(SEED), make=RoundRobin).gap > 600.0


def test_bar_11_weights_divide_slot_time() -> None:
    weights = {TenantId("one"): 1.0, TenantId("two"): 2.0, TenantId("four"): 4.0}

    divided = shares(
        SEED, 3_000.0, dict.fromkeys(weights, 1.0), weights=weights, window_seconds=10 * MEAN_SECONDS * len(weights)
    )

    def error(served: Mapping[TenantId, float]) -> float:
        total = sum(served.values())
        return max(abs(served[tenant_id] / total * 7.0 / weight - 1.0) for tenant_id, weight in weights.items())

    assert error(divided.slot_seconds) <= 0.02
    assert quantile([error(window) for window in divided.windows], 0.5) <= 0.10


def test_bar_11_control_unweighted_shares_are_far_off() -> None:
    tenants = dict.fromkeys((TenantId("one"), TenantId("two"), TenantId("four")), 1.0)

    served = shares(SEED, 500.0, tenants, make=lambda: weighted({})).slot_seconds

    assert abs(served[TenantId("four")] / sum(served.values()) * 7.0 / 4.0 - 1.0) > 0.02


def test_bar_12_idling_earns_no_credit() -> None:
    assert head_start(SEED) <= 600.0


def test_bar_12_control_least_served_first_pays_for_idling() -> None:
    assert head_start(SEED, make=LeastServed) > 600.0


def test_bar_13_batch_and_enrollment_never_starve() -> None:
    figures = overload(SEED, 500.0)

    assert figures.longest_wait[Priority.ENROLLMENT] <= 60.0
    assert figures.longest_wait[Priority.BACKGROUND] <= 60.0


def test_bar_13_batch_and_enrollment_that_always_wait_have_a_slot_each() -> None:
    figures = overload(SEED, 500.0, always_waiting=True)

    assert figures.slots[Priority.ENROLLMENT] >= 1.0 - 1e-9
    assert figures.slots[Priority.BACKGROUND] >= 1.0 - 1e-9


def test_bar_13_control_without_floors_batch_starves() -> None:
    floorless = AdmissionPolicy(floors={})

    figures = overload(SEED, 500.0, make=lambda: AdmissionCore(floorless, numbered_ids()))

    assert figures.longest_wait[Priority.BACKGROUND] > 60.0
    assert figures.slots[Priority.BACKGROUND] < 0.1


class Dozing(AdmissionCore):
    """Control: knows no moment at which something happens by itself."""

    def next_wakeup(self, now: float) -> float | None:
        return None


def late_and_overdue(core: AdmissionCore) -> tuple[float, float]:
    """The latest that an expiry was told, and the least time any call was begun before its deadline."""
    random, asks = Random(SEED), Asks(Random(SEED))
    simulation = Simulation(core, lambda ask: call_seconds(random))
    deadlines: dict[RequestId, float] = {}

    def make_ask() -> Ask:
        ask = asks.make(simulation.now, seconds=random.uniform(1.0, 60.0))
        deadlines[ask.request_id] = ask.deadline
        return ask

    stream(simulation, random, 5.0, make_ask)
    simulation.run(400.0)
    late = max(at - deadlines[request_id] for request_id, at in simulation.expired.items())
    return late, min(deadlines[waited.ask.request_id] - waited.granted for waited in simulation.waits)


def test_bar_14_every_expiry_is_told_at_its_deadline_and_no_call_begins_behind_it() -> None:
    late, left = late_and_overdue(guarded())

    assert late == 0.0
    assert left > 0.0


def test_bar_14_control_without_wakeups_expiries_are_told_late() -> None:
    late, _ = late_and_overdue(Dozing(AdmissionPolicy(), numbered_ids()))

    assert late > 0.05


def test_the_wait_estimate_is_calibrated() -> None:
    figures = flood(SEED, 800.0, interactive_rate=2.0)

    for priority in Priority:
        assert 0.67 <= quantile(figures.ratios[priority], 0.5) <= 1.5


def test_a_calm_queue_tells_no_wait() -> None:
    random, asks = Random(SEED), Asks(Random(SEED))
    simulation = Simulation(guarded(), lambda ask: call_seconds(random))
    stream(simulation, random, 0.2, lambda: asks.make(simulation.now, seconds=inf))

    simulation.run(600.0)

    assert {waited.estimate for waited in simulation.waits} <= {None, 0.0}
    assert max(waited.seconds for waited in simulation.waits) == 0.0
