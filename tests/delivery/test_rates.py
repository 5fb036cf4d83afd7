"""Token buckets: exact, shared by nobody, and forgotten when full."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bus.ids import MemberId, TenantId
from delivery.caller import Caller, Role
from delivery.errors import RateLimited
from delivery.rates import Rates
from tests.delivery.manual_clock import NOW, ManualClock


def caller(member: str | None, tenant: str = "acme", *roles: Role) -> Caller:
    return Caller(
        subject=member or "service",
        tenant_id=TenantId(tenant),
        roles=frozenset(roles or {Role.MEMBER}),
        member_id=None if member is None else MemberId(member),
        expires_at=NOW + timedelta(hours=1),
    )


def taken(rates: Rates, who: Caller) -> int:
    """How many operations are let through until one is refused."""
    for count in range(10_000):
        try:
            rates.take(who)
        except RateLimited:
            return count
    return 10_000


def test_a_burst_and_then_the_rate() -> None:
    clock = ManualClock()
    rates = Rates(clock=clock, operations_per_second=100, burst=200)
    assert taken(rates, caller("m")) == 200
    clock.advance(0.5)
    assert taken(rates, caller("m")) == 50
    clock.advance(1000)
    assert taken(rates, caller("m")) == 200


def test_refused_operations_do_not_put_off_the_refill() -> None:
    clock = ManualClock()
    rates = Rates(clock=clock, operations_per_second=1, burst=1)
    assert taken(rates, caller("m")) == 1
    for _ in range(3):
        clock.advance(0.25)
        assert taken(rates, caller("m")) == 0
    clock.advance(0.25)
    assert taken(rates, caller("m")) == 1


def test_what_cost_more_is_paid_back_by_the_next_ones() -> None:
    clock = ManualClock()
    rates = Rates(clock=clock, operations_per_second=10, burst=20)
    rates.take(caller("m"))
    rates.charge(caller("m"), 9)
    assert taken(rates, caller("m")) == 10
    rates.charge(caller("m"), 5)
    clock.advance(0.5)
    assert taken(rates, caller("m")) == 0
    clock.advance(0.5)
    assert taken(rates, caller("m")) == 5


def test_nobody_owes_more_than_a_burst_or_is_forgotten_while_they_owe() -> None:
    clock = ManualClock()
    rates = Rates(clock=clock, operations_per_second=10, burst=20)
    for _ in range(5):
        rates.charge(caller("m"), 1_000)
    clock.advance(2)
    assert len(rates) == 1
    assert taken(rates, caller("m")) == 0
    clock.advance(2)
    assert len(rates) == 0
    assert taken(rates, caller("m")) == 20


def test_what_costs_no_more_is_not_charged() -> None:
    rates = Rates(clock=ManualClock(), burst=20)
    for operations in (0, -5):
        rates.charge(caller("m"), operations)
    assert taken(rates, caller("m")) == 20


def test_members_of_one_id_in_two_tenants_are_two() -> None:
    rates = Rates(clock=ManualClock(), burst=1)
    assert taken(rates, caller("m", "acme")) == 1
    assert taken(rates, caller("m", "other")) == 1


def test_services_and_operators_are_not_limited() -> None:
    rates = Rates(clock=ManualClock(), burst=1)
    for who in (caller(None, "acme", Role.SERVICE), caller("m", "acme", Role.MEMBER, Role.OPERATOR)):
        rates.charge(who, 1_000)
        assert taken(rates, who) == 10_000
    assert len(rates) == 0


def test_the_table_holds_members_of_the_last_seconds_only_and_is_bounded() -> None:
    clock = ManualClock()
    rates = Rates(clock=clock, operations_per_second=100, burst=200, capacity=10)
    for number in range(50):
        rates.take(caller(f"m-{number}"))
    assert len(rates) == 10
    clock.advance(2)
    assert len(rates) == 0


def test_a_limit_says_what_to_do() -> None:
    rates = Rates(clock=ManualClock(), burst=0.5)
    with pytest.raises(RateLimited, match="less often") as refused:
        rates.take(caller("m"))
    assert refused.value.retry_after_seconds == 1
