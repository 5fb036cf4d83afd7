"""The worlds that the bars are measured in, each a function from a seed to figures; tests run few, the bench many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def guarded() -> AdmissionCore:
    """The core as it is shipped."""
    return AdmissionCore(AdmissionPolicy(lease_seconds=LEASE_SECONDS), numbered_ids())


def weighted(weights: Mapping[TenantId, float]) -> AdmissionCore:
    """The core with unequal tenants."""
    return AdmissionCore(AdmissionPolicy(lease_seconds=LEASE_SECONDS, weights=weights), numbered_ids())


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


class Shares(Struct, frozen=True):
    """How slot-time was divided between tenants that always wait."""

    slot_seconds: Mapping[TenantId, float]
    gap: float
    """The widest there ever was between two tenants, in slot-seconds by weight."""
    windows: Sequence[Mapping[TenantId, float]]
    """The same in successive windows of `window_seconds`."""


def shares(
    seed: int,
    span_seconds: float,
    slowness: Mapping[TenantId, float],
    *,
    weights: Mapping[TenantId, float] | None = None,
    window_seconds: float = float("inf"),
    make: Callable[[], Scheduler] | None = None,
) -> Shares:
    """Bars 10 and 11: every tenant always waits, and its calls take so many times as long as usual."""
    random = Random(seed)
    asks = Asks(random, payers=200)
    given = weights or {}
    scheduler = weighted(given) if make is None else make()
    simulation = Simulation(scheduler, lambda ask: min(call_seconds(random) * slowness[ask.tenant_id], 120.0))
    served = simulation.slot_seconds_by_tenant
    gap = 0.0

    def measure() -> None:
        nonlocal gap
        by_weight = [served[tenant_id] / given.get(tenant_id, 1.0) for tenant_id in slowness]
        gap = max(gap, max(by_weight) - min(by_weight))

    def always_waiting(tenant_id: TenantId) -> None:
        backlog(
            simulation,
            5,
            lambda: asks.make(simulation.now, tenant=tenant_id, priority=Priority.BACKGROUND),
            lambda granted: granted.tenant_id == tenant_id,
        )

    for tenant_id in slowness:
        always_waiting(tenant_id)
    simulation.on_step.append(measure)
    windows, before = [], dict.fromkeys(slowness, 0.0)
    end = min(window_seconds, span_seconds)
    while end <= span_seconds:
        simulation.run(end)
        windows.append({tenant_id: served[tenant_id] - before[tenant_id] for tenant_id in slowness})
        before = dict(served)
        end += window_seconds
    simulation.run(span_seconds)
    return Shares(dict(served), gap, windows)


def mixed_tenants(seed: int) -> dict[TenantId, float]:
    """Four tenants: one whose calls take four times as long, one usual, two between."""
    random = Random(-seed - 1)
    between = {TenantId(f"between-{number}"): random.uniform(1.0, 4.0) for number in (1, 2)}
    return {TenantId("slow"): 4.0, TenantId("usual"): 1.0, **between}


def head_start(seed: int, *, make: Callable[[], Scheduler] = guarded) -> float:
    """Bar 12: slot-seconds that a tenant that idled gets ahead of one that did not, at most, after it comes back."""
    random = Random(seed)
    asks = Asks(random, payers=200)
    simulation = Simulation(make(), lambda ask: call_seconds(random))
    stayed, returns = TenantId("stayed"), TenantId("returns")

    def always_waiting(tenant_id: TenantId) -> None:
        backlog(
            simulation,
            5,
            lambda: asks.make(simulation.now, tenant=tenant_id, priority=Priority.BACKGROUND),
            lambda granted: granted.tenant_id == tenant_id,
        )

    always_waiting(stayed)
    always_waiting(TenantId("stayed too"))
    simulation.run(30.0)
    simulation.offer(asks.make(simulation.now, tenant=returns, priority=Priority.BACKGROUND))
    simulation.run(1_000.0)
    served = simulation.slot_seconds_by_tenant
    before = served[returns] - served[stayed]
    ahead = 0.0

    def measure() -> None:
        nonlocal ahead
        ahead = max(ahead, served[returns] - served[stayed] - before)

    simulation.on_step.append(measure)
    always_waiting(returns)
    simulation.run(2_000.0)
    return ahead


class Overload(Struct, frozen=True):
    """What the other classes get while people alone ask for more than there is."""

    slots: Mapping[Priority, float]
    """In use by the class, on average, from the second minute on."""
    longest_wait: Mapping[Priority, float]
    """Granted, or waiting still at the end."""


def overload(
    seed: int, span_seconds: float, *, always_waiting: bool = False, make: Callable[[], Scheduler] = guarded
) -> Overload:
    """Bar 13: people ask four times a second, which is more than fifteen slots can do. The other classes ask now and
    then, or always wait."""
    random = Random(seed)
    asks = Asks(random, payers=200)
    simulation = Simulation(make(), lambda ask: call_seconds(random))

    def come(priority: Priority, rate: float) -> None:
        stream(simulation, random, rate, lambda: asks.make(simulation.now, tenant=priority, priority=priority))

    def wait(priority: Priority) -> None:
        backlog(
            simulation,
            20,
            lambda: asks.make(simulation.now, tenant=priority, priority=priority),
            lambda granted: granted.priority is priority,
        )

    come(Priority.INTERACTIVE, 4.0)
    for priority in (Priority.ENROLLMENT, Priority.BACKGROUND):
        if always_waiting:
            wait(priority)
        else:
            come(priority, 0.1)
    simulation.run(60.0)
    before = dict(simulation.slot_seconds_by_tenant)
    simulation.run(60.0 + span_seconds)
    longest = {
        priority: max(
            [waited.seconds for waited in simulation.waits if waited.ask.priority is priority]
            + [simulation.now - offered for ask, offered, _ in simulation.waiting if ask.priority is priority]
        )
        for priority in Priority
    }
    used = {
        priority: simulation.slot_seconds_by_tenant[TenantId(priority)] - before.get(TenantId(priority), 0.0)
        for priority in Priority
    }
    return Overload({priority: seconds / span_seconds for priority, seconds in used.items()}, longest)
