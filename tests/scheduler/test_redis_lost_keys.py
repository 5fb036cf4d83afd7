"""A Redis that throws single keys away: whichever is missing, decisions go on, and what is held is told again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
import pytest_asyncio

from bus.events import Priority
from bus.ids import CallId, PayerId, RequestId
from scheduler.admission import CallEnd
from scheduler.policy import AdmissionPolicy
from scheduler.redis.admission import RedisAdmission
from tests.scheduler.asks import ask
from tests.scheduler.shared_slots import SharedSlots, shared_slots

pytestmark = pytest.mark.services

POLICY = AdmissionPolicy(slots=4, lease_seconds=100.0)


@pytest_asyncio.fixture
async def slots(redis_url: str) -> AsyncIterator[SharedSlots]:
    async with shared_slots(redis_url) as slots:
        yield slots


async def busy(slots: SharedSlots) -> tuple[list[RedisAdmission], list[CallId]]:
    """Two instances with calls under way, due, not due yet and set aside, and payers that are down and failing."""
    first, second = instances = [await slots.instance(POLICY) for _ in range(2)]
    for number in range(6):
        await first.offer(ask(payer="quick", deadline=500.0), 0.0)
        made = await second.grant(0.0)
        assert made is not None
        end = CallEnd.UNREACHABLE if number == 5 else CallEnd.ANSWERED
        await second.settle(made.call_id, end, 10.0)
    await first.open_breaker(PayerId("down"), 10.0)
    for number in range(10):
        payer, priority = f"payer-{number % 3}", list(Priority)[number % 3]
        await first.offer(ask(f"r-{number}", payer=payer, deadline=20.0 + 40 * number, priority=priority), 10.0)
    await first.offer(ask("later", payer="quick", deadline=400.0, not_before=30.0), 10.0)
    await first.offer(ask("late", payer="quick", deadline=15.0), 10.0)
    await first.offer(ask("barred", payer="down", deadline=400.0), 10.0)
    live = [made.call_id for one in instances for _ in range(2) if (made := await one.grant(11.0)) is not None]
    assert len(live) == 4
    return instances, live


async def go_on(instances: Sequence[RedisAdmission], live: Sequence[CallId], now: float) -> None:
    """Everything that instances ask for, more than once."""
    first, second = instances
    for step in range(4):
        at = now + 7.0 * step
        for one in instances:
            await one.renew(at)
            await one.expired(at)
            await one.place(RequestId("r-7"), at)
            await one.next_wakeup(at)
            assert (await one.status(at)).held <= 4
            await one.grant(at)
        await first.offer(ask(f"more-{step}", deadline=at + 300.0), at)
        await second.leave(RequestId(f"r-{step}"), at)
        await first.settle(live[step], CallEnd.ANSWERED, at)
        await second.settle(live[step], CallEnd.UNREACHABLE, at)
        await second.hold(CallId(f"held-{step}"), PayerId("payer"), at + 5.0, at)


@pytest.mark.unmeasured  # the same decisions for each key
async def test_whichever_key_is_thrown_away_decisions_go_on(slots: SharedSlots) -> None:
    await busy(slots)
    names = [name async for name in slots.client.scan_iter(match=f"{slots.prefix}:*", count=10_000)]
    tried = {name.removeprefix(f"{slots.prefix}:".encode()) for name in names if b":answer:" not in name}
    assert {b"leases", b"lease", b"flights", b"requests", b"deadlines", b"calls", b"meta", b"not-due"} <= tried
    for name in sorted(tried):
        fresh = SharedSlots(slots.client)
        instances, live = await busy(fresh)
        assert await fresh.client.delete(f"{fresh.prefix}:".encode() + name) == 1, name

        await go_on(instances, live, 12.0)

        waiters: set[RequestId] = set()
        for at in (150.0, 300.0, 450.0):  # a state that is found broken grants nothing for a lease's time
            await instances[0].offer(ask("new", payer="another", deadline=900.0), at)
            for one in instances:
                while (made := await one.grant(at)) is not None:
                    waiters.update(made.waiters)
                    await one.settle(made.call_id, CallEnd.ANSWERED, at)
        assert RequestId("new") in waiters, name
        await fresh.forget()


async def test_a_lease_that_was_thrown_away_is_held_again_by_whoever_makes_the_call(slots: SharedSlots) -> None:
    (first, second), live = await busy(slots)
    for name in ("lease", "leases", "flights"):
        await slots.client.delete(f"{slots.prefix}:{name}")

        assert (await first.renew(12.0)).state_lost
        assert (await second.renew(12.0)).state_lost

        assert (await first.status(12.0)).held == len(live)


async def test_leases_that_an_earlier_version_packed_are_held_as_long_as_they_were(slots: SharedSlots) -> None:
    (first, second), live = await busy(slots)
    earlier = msgspec.msgpack.encode({"payer": "60054", "owner": ""})
    for call_id in await slots.client.hkeys(f"{slots.prefix}:lease"):
        await slots.client.hset(f"{slots.prefix}:lease", call_id, earlier)

    assert not (await first.renew(12.0)).state_lost
    assert not (await second.renew(12.0)).state_lost

    assert (await first.status(12.0)).held == len(live)


async def test_what_is_held_is_told_again_where_the_state_is_found_broken_while_it_is_told(slots: SharedSlots) -> None:
    (first, second), live = await busy(slots)
    await slots.client.hset(f"{slots.prefix}:meta", "run", "another server's")
    await slots.client.delete(f"{slots.prefix}:lease")

    await first.renew(12.0)
    await second.renew(12.0)

    assert (await first.status(12.0)).held == len(live)
