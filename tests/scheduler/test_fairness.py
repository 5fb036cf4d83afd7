"""Start-time fair queuing by itself."""

from __future__ import annotations

from itertools import count

from bus.ids import TenantId
from scheduler.account import Account
from scheduler.fairness import FairQueue
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
