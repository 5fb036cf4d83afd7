"""What holds in memory holds for three instances on a real Redis, and both decide the same, whatever happens."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import Redis

from bus.events import Priority
from bus.ids import CallId
from scheduler.admission import CallEnd
from scheduler.core import AdmissionCore
from scheduler.policy import AdmissionPolicy
from tests.scheduler.asks import ask
from tests.scheduler.shared_slots import SharedSlots
from tests.scheduler.test_admission_machine import POLICY, AdmissionMachine
from tests.scheduler.twins import Twins

pytestmark = [pytest.mark.services, pytest.mark.unmeasured]  # thousands of decisions; others cover them


def test_three_instances_decide_as_one_core_does(redis_url: str) -> None:
    loop = asyncio.new_event_loop()
    client = Redis.from_url(redis_url)

    class SharedMachine(AdmissionMachine):
        def make(self) -> AdmissionCore:
            self.slots = SharedSlots(client)
            return Twins(POLICY, self.slots, loop)

        def teardown(self) -> None:
            super().teardown()
            loop.run_until_complete(self.slots.forget())

    try:
        run_state_machine_as_test(
            SharedMachine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
        )
    finally:
        loop.run_until_complete(client.aclose())
        loop.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_long_crowded_day_is_decided_alike(redis_url: str, seed: int) -> None:
    """Many tenants and payers, unequal weights, calls of all lengths, retries, deadlines that some cannot meet."""
    loop = asyncio.new_event_loop()
    client = Redis.from_url(redis_url)
    slots, random, now = SharedSlots(client), Random(seed), 0.0
    tenants = [f"tenant-{number}" for number in range(12)]
    policy = AdmissionPolicy(weights={"tenant-1": 3.0, "tenant-2": 0.5})  # type: ignore[dict-item]
    twins = Twins(policy, slots, loop)
    live: list[CallId] = []
    try:
        for number in range(700):
            now += random.expovariate(3.0)
            twins.expired(now)
            twins.offer(
                ask(
                    f"request-{number}",
                    tenant=random.choice(tenants[: 1 + number // 50]),
                    payer=f"payer-{int(random.expovariate(0.4))}",
                    question=f"question-{random.randrange(number + 20)}",
                    priority=random.choice(list(Priority)),
                    deadline=now + random.choice((4.0, 60.0, 600.0)),
                    not_before=now + random.choice((0.0, 0.0, 0.0, 3.0)),
                ),
                now,
            )
            if live and random.random() < 0.6:
                end = random.choices(list(CallEnd), weights=(12, 1, 1, 1, 1, 1))[0]
                twins.settle(live.pop(random.randrange(len(live))), end, now)
            while (grant := twins.grant(now)) is not None:
                live.append(grant.call_id)
            twins.next_wakeup(now)
            if number % 20 == 0:
                twins.status(now)
    finally:
        loop.run_until_complete(slots.forget())
        loop.run_until_complete(client.aclose())
        loop.close()
