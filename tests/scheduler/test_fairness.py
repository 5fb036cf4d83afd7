"""Start-time fair queuing by itself."""

from __future__ import annotations

from collections import Counter
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from bus.ids import PayerId, TenantId
from scheduler.account import Account
from scheduler.fairness import QUANTUM_SECONDS, Ahead, FairQueue
from scheduler.flights import Flight
from tests.scheduler.asks import ask

_sequences = count(1)


def waits(queue: FairQueue, tenant: str) -> None:
    """One more call of the tenant."""
    queue.add(Flight(ask(tenant=tenant), next(_sequences)))


def goes(queue: FairQueue, seconds: float) -> tuple[TenantId, Account]:
    """The next call is made."""
    flight = queue.first(frozenset())
    assert flight is not None
    return flight.tenant_id, queue.charge(flight, seconds)


def test_a_tenant_that_comes_back_while_its_call_is_in_flight_starts_at_the_present() -> None:
    queue = FairQueue({}, catch_up_seconds=10_000.0)
    waits(queue, "returns")
    waits(queue, "stays")
    assert goes(queue, 10.0)[0] == "returns"
    for _ in range(50):
        waits(queue, "stays")
        assert goes(queue, 100.0)[0] == "stays"

    for _ in range(4):
        waits(queue, "returns")
        waits(queue, "stays")
    turns = [goes(queue, 100.0)[0] for _ in range(4)]

    # Without a bound it would be owed the fifty calls it did not ask for.
    assert turns.count(TenantId("returns")) <= 2


def test_debts_end_when_nobody_waits() -> None:
    queue = FairQueue({}, catch_up_seconds=0.0)
    waits(queue, "greedy")
    _, account = goes(queue, 1_000.0)
    queue.correct(account, 500.0)

    waits(queue, "greedy")
    waits(queue, "other")

    assert goes(queue, 1.0)[0] == "greedy"  # the first to come


def test_within_a_quantum_calls_go_in_the_order_of_arrival() -> None:
    queue = FairQueue({}, catch_up_seconds=0.0)
    for tenant in ("a", "a", "b", "a", "b"):
        waits(queue, tenant)

    assert [goes(queue, 5.0)[0] for _ in range(5)] == ["a", "a", "b", "a", "b"]


def test_a_correction_moves_a_tenant_that_waits() -> None:
    queue = FairQueue({}, catch_up_seconds=0.0)
    for tenant in ("a", "a", "b", "b"):
        waits(queue, tenant)
    _, account = goes(queue, 5.0)
    queue.correct(account, 200.0)

    assert [goes(queue, 5.0)[0] for _ in range(3)] == ["b", "b", "a"]


COST_SECONDS = 5.0
WEIGHTS = {TenantId("a"): 1.0, TenantId("b"): 2.0}
CALLS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(("p", "q", "r")), st.sampled_from((0, 0, 0, 5, 40, 90))),
    min_size=1,
    max_size=60,
)


@given(CALLS, st.sets(st.sampled_from(("p", "q", "r"))), st.integers(0, 59), st.booleans())
def test_a_place_counts_every_call_that_would_go_before(
    calls: list[tuple[str, str, int]], shut: set[str], chosen: int, waits_already: bool
) -> None:
    """Every call that waits is written down, with the start tag that it would have by then; then they are counted."""
    queue = FairQueue(WEIGHTS, catch_up_seconds=120.0)
    waiting: list[Flight] = []
    for tenant, payer, seconds in calls:
        waiting.append(Flight(ask(tenant=tenant, payer=payer), next(_sequences)))
        queue.add(waiting[-1])
        first = queue.first(frozenset())
        if seconds and first is not None and len(waiting) > 1:
            queue.charge(first, seconds)
            waiting.remove(first)
    newcomer = Flight(ask(tenant="b", payer="q"), next(_sequences))
    flight = waiting[chosen % len(waiting)] if waits_already else newcomer
    barred = frozenset(map(PayerId, shut)) - {flight.payer_id}

    assert queue.ahead(flight, barred, COST_SECONDS) == counted(queue, waiting, flight, barred)


def counted(queue: FairQueue, waiting: list[Flight], flight: Flight, barred: frozenset[PayerId]) -> Ahead:
    def step_seconds(tenant_id: TenantId) -> float:
        return COST_SECONDS / WEIGHTS.get(tenant_id, 1.0)

    before = [one for one in waiting if one.tenant_id == flight.tenant_id and one.sequence < flight.sequence]
    total = sum(one.payer_id not in barred for one in before)
    at_payer = sum(one.payer_id == flight.payer_id for one in before)
    quantum = (queue._start_of(flight.tenant_id) + total * step_seconds(flight.tenant_id)) // QUANTUM_SECONDS
    turns: Counter[TenantId] = Counter()
    numbers: Counter[TenantId] = Counter()
    for one in waiting:
        start = queue._start_of(one.tenant_id) + numbers[one.tenant_id] * step_seconds(one.tenant_id)
        numbers[one.tenant_id] += 1
        turns[one.tenant_id] += (start // QUANTUM_SECONDS, one.sequence) < (quantum, flight.sequence)
    for tenant_id in numbers.keys() - {flight.tenant_id}:
        mine = [one.payer_id for one in waiting if one.tenant_id == tenant_id]
        total += min(turns[tenant_id], sum(payer_id not in barred for payer_id in mine))
        at_payer += min(turns[tenant_id], mine.count(flight.payer_id))
    return Ahead(total=total, at_payer=at_payer)
