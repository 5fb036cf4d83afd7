"""The worlds that the bars are measured in, each a function from a seed to figures; tests run few, the bench many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from msgspec import Struct

from bus.events import Priority
from bus.ids import PayerId, TenantId
from scheduler.admission import Ask
from scheduler.core import AdmissionCore
from scheduler.policy import AdmissionPolicy
from tests.scheduler.simulation import (
    LEASE_SECONDS,
    Asks,
    Scheduler,
    Simulation,
    backlog,
    call_seconds,
    numbered_ids,
    stream,
)

HUNG = PayerId("hung")
_SLOTS = 15


def guarded(weights: Mapping[TenantId, float] | None = None) -> AdmissionCore:
    """The core as it is shipped."""
    return AdmissionCore(AdmissionPolicy(lease_seconds=LEASE_SECONDS, weights=weights or {}), numbered_ids())


class Flood(Struct, frozen=True):
    """What people's requests meet while batch work never ends."""

    interactive_waits: list[float]
    utilisation: float
    max_in_flight: int
    ratios: Mapping[Priority, list[float]]
    """Actual wait / estimated wait, where the estimate was at least half a second."""


def flood(
    seed: int,
    span_seconds: float,
    *,
    interactive_rate: float = 1.0,
    enrollment_rate: float = 0.3,
    make: Callable[[], Scheduler] = guarded,
) -> Flood:
    """Bars 7 and 8: people and enrollment come at random, batch work always waits. The first minute is not counted.

    So many payers that their caps seldom matter, as in the mix that the bars were taken from.
    """
    random = Random(seed)
    asks = Asks(random, payers=200)
    simulation = Simulation(make(), lambda ask: call_seconds(random))

    def come(priority: Priority, rate: float) -> None:
        def make_ask() -> Ask:
            return asks.make(simulation.now, tenant=f"tenant-{random.randrange(20)}", priority=priority)

        stream(simulation, random, rate, make_ask)

    come(Priority.INTERACTIVE, interactive_rate)
    if enrollment_rate:
        come(Priority.ENROLLMENT, enrollment_rate)
    backlog(
        simulation,
        100,
        lambda: asks.make(simulation.now, tenant=f"batch-{random.randrange(3)}", priority=Priority.BACKGROUND),
        lambda granted: granted.priority is Priority.BACKGROUND,
    )
    simulation.run(60.0)
    busy = simulation.busy_seconds
    simulation.run(60.0 + span_seconds)
    counted = [waited for waited in simulation.waits if waited.offered >= 60.0]
    return Flood(
        [waited.seconds for waited in counted if waited.ask.priority is Priority.INTERACTIVE],
        (simulation.busy_seconds - busy) / (_SLOTS * span_seconds),
        simulation.max_in_flight,
        {
            priority: [
                waited.seconds / waited.estimate
                for waited in counted
                if waited.ask.priority is priority and waited.estimate is not None and waited.estimate >= 0.5
            ]
            for priority in Priority
        },
    )


class DeadPayer(Struct, frozen=True):
    """What the requests of other payers meet while one hangs."""

    other_waits: list[float]
    hung_share: float
    """Of the slot-time of all, from the fifth minute on."""
    max_in_flight: int


def dead_payer(seed: int, span_seconds: float, *, make: Callable[[], Scheduler] = guarded) -> DeadPayer:
    """Bar 9: 30 % of what people ask goes to a payer that hangs for longer than a call; batch work never ends."""
    random = Random(seed)
    asks = Asks(random)
    simulation = Simulation(make(), lambda ask: 121.0 if ask.payer_id == HUNG else call_seconds(random))

    def make_ask() -> Ask:
        payer = HUNG if random.random() < 0.3 else None
        return asks.make(simulation.now, tenant=f"tenant-{random.randrange(20)}", payer=payer, seconds=600.0)

    stream(simulation, random, 1.0, make_ask)
    backlog(
        simulation,
        100,
        lambda: asks.make(simulation.now, tenant="batch", priority=Priority.BACKGROUND),
        lambda granted: granted.priority is Priority.BACKGROUND,
    )
    settled_in = min(300.0, span_seconds / 2)
    simulation.run(settled_in)
    hung, busy = simulation.slot_seconds_by_payer[HUNG], simulation.busy_seconds
    simulation.run(span_seconds)
    return DeadPayer(
        [
            waited.seconds
            for waited in simulation.waits
            if waited.ask.payer_id != HUNG and waited.ask.priority is Priority.INTERACTIVE
        ],
        (simulation.slot_seconds_by_payer[HUNG] - hung) / (simulation.busy_seconds - busy),
        simulation.max_in_flight,
    )
