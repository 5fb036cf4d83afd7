"""A server that forgot, restarted or was replaced grants nothing beyond the slots; who holds what is told again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from bus.ids import CallId, PayerId, RequestId
from scheduler.admission import CallEnd, Grant, Joined
from scheduler.policy import AdmissionPolicy
from scheduler.redis.admission import RedisAdmission
from scheduler.redis.script import SharedPolicy
from tests.scheduler.asks import ask
from tests.scheduler.shared_slots import SharedSlots, shared_slots
from tests.services.redis import RedisServer

pytestmark = pytest.mark.services

POLICY = AdmissionPolicy(slots=4, lease_seconds=100.0)
_numbers = count(1)


@pytest_asyncio.fixture
async def slots(redis_url: str) -> AsyncIterator[SharedSlots]:
    async with shared_slots(redis_url) as slots:
        yield slots


async def three(slots: SharedSlots) -> list[RedisAdmission]:
    """Three instances that have just said that they live."""
    instances = [await slots.instance(POLICY) for _ in range(3)]
    await all_renew(instances, 9.0)
    return instances


async def all_renew(instances: Sequence[RedisAdmission], now: float) -> list[bool]:
    """Whether each was told that state was lost."""
    return [(await one.renew(now)).state_lost for one in instances]


async def waiting(admission: RedisAdmission, calls: int, now: float) -> None:
    """So many more wait, for payers of their own."""
    for _ in range(calls):
        await admission.offer(ask(payer=f"payer-{next(_numbers)}", deadline=now + 500.0), now)


async def granted(instances: Sequence[RedisAdmission], now: float) -> list[Grant]:
    """What they are granted, one after the other, until there is no more."""
    grants = []
    for one in instances:
        while (grant := await one.grant(now)) is not None:
            grants.append(grant)
    return grants


async def test_after_all_was_forgotten_nothing_is_granted_for_a_lease(slots: SharedSlots) -> None:
    instances = await three(slots)
    await waiting(instances[0], 4, 10.0)
    for one in instances:
        assert await one.grant(10.0) is not None

    await slots.forget()

    assert await all_renew(instances, 20.0) == [True, True, True]
    await waiting(instances[0], 4, 20.0)
    assert (await instances[0].status(20.0)).held == 3
    assert await granted(instances, 109.9) == []
    # Their leases have ended by then; but somebody unknown may have been granted slots just before all was lost.
    assert await granted(instances, 119.9) == []
    assert await instances[0].next_wakeup(119.9) == pytest.approx(120.0)
    assert len(await granted(instances, 120.0)) == 4


async def test_a_call_whose_server_forgot_it_is_joined_and_settled(slots: SharedSlots) -> None:
    first, second, _ = await three(slots)
    await first.offer(ask("a", question="q"), 10.0)
    made = await first.grant(10.0)
    assert made is not None

    await slots.forget()
    assert (await first.renew(20.0)).state_lost

    joined = await second.offer(ask("b", question="q"), 21.0)
    assert isinstance(joined, Joined)
    assert joined.call_id == made.call_id
    assert joined.lease_expires == pytest.approx(made.lease_expires)
    assert (await first.settle(made.call_id, CallEnd.ANSWERED, 25.0)).waiters == ("a", "b")
    assert (await first.status(25.0)).held == 0


async def test_what_was_settled_is_not_brought_back_by_a_late_registration(slots: SharedSlots) -> None:
    first, second, _ = await three(slots)
    await first.offer(ask(), 10.0)
    made = await first.grant(10.0)
    assert made is not None
    await first.settle(made.call_id, CallEnd.ANSWERED, 11.0)

    await second.hold(made.call_id, PayerId("payer"), 90.0, 12.0)

    assert (await second.status(12.0)).held == 0


async def test_a_lease_that_ended_is_not_brought_back_by_its_paused_owner(slots: SharedSlots) -> None:
    first, second, _ = await three(slots)
    await first.offer(ask(), 10.0)
    made = await first.grant(10.0)
    assert made is not None
    assert (await second.status(110.0)).held == 0

    await first.renew(111.0)
    await slots.forget()
    await first.renew(112.0)

    assert (await first.status(112.0)).held == 0


async def test_a_new_instance_waits_until_its_joining_cannot_be_lost(slots: SharedSlots) -> None:
    old = (await three(slots))[0]
    await waiting(old, 1, 10.0)
    new = await slots.instance(POLICY, joined=10.0)

    assert await new.grant(19.9) is None
    assert await new.next_wakeup(19.9) == pytest.approx(20.0)
    assert await new.grant(20.0) is not None


async def test_calls_of_a_silent_instance_are_handed_on_and_keep_their_slots(slots: SharedSlots) -> None:
    dead, alive, other = await three(slots)
    await dead.offer(ask("a"), 10.0)
    made = await dead.grant(10.0)
    assert made is not None
    assert (await alive.renew(30.0)).abandoned == ()

    assert (await alive.renew(41.0)).abandoned == (RequestId("a"),)
    assert (await other.renew(41.0)).abandoned == ()

    assert (await alive.status(41.0)).held == 1
    assert await alive.offer(ask("a"), 41.0) is not None
    again = await alive.grant(41.0)
    assert again is not None and again.waiters == ("a",)
    assert (await alive.status(109.0)).held == 2
    assert (await alive.status(110.0)).held == 1


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    (tmp_path / "first").mkdir()
    server = RedisServer(tmp_path / "first")
    await server.start()
    yield server
    await server.stop()


async def test_a_restarted_server_grants_as_soon_as_all_have_told_what_they_hold(server: RedisServer) -> None:
    async with shared_slots(server.url) as slots:
        instances = await three(slots)
        await waiting(instances[0], 6, 10.0)
        for one in instances:
            assert await one.grant(10.0) is not None

        await server.stop()
        await server.start()

        assert await instances[0].grant(12.0) is None
        assert await instances[1].grant(12.0) is None
        # The third is the last: with it, everybody who may hold slots has been heard.
        assert len(await granted([instances[2]], 12.0)) == 1
        assert (await instances[0].status(12.0)).held == 4


async def test_a_restarted_server_waits_for_an_instance_that_does_not_come_back(server: RedisServer) -> None:
    async with shared_slots(server.url) as slots:
        first, second, _ = instances = await three(slots)
        await waiting(first, 6, 10.0)

        await server.stop()
        await server.start()

        assert await granted([first, second], 12.0) == []
        assert await granted([first, second], 111.9) == []
        assert len(await granted(instances[:2], 112.0)) == 4


async def test_a_replica_that_lagged_grants_nothing_beyond_the_slots(server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    replica = RedisServer(tmp_path / "second", replica_of=server.port)
    await replica.start()
    async with Redis.from_url(replica.url) as promoted, shared_slots(server.url) as slots:
        instances = await three(slots)
        await waiting(instances[0], 8, 10.0)
        assert await instances[0].grant(10.0) is not None
        await slots.client.wait(1, 5_000)
        await promoted.replicaof("127.0.0.1", "1")  # cut off: from here on it lags
        lost = await granted([instances[1]], 10.0)
        assert len(lost) == 3
        server.kill()
        await promoted.replicaof("NO", "ONE")
        moved_to(instances, promoted)

        early = await granted([instances[0]], 11.0)
        assert early == []
        assert await granted([instances[2], instances[1], instances[0]], 11.0) == []
        assert (await instances[0].status(11.0)).held == 4
        await instances[1].settle(lost[0].call_id, CallEnd.ANSWERED, 12.0)
        assert len(await granted(instances, 12.0)) == 1
        slots.client = promoted
    await replica.stop()


def moved_to(instances: Sequence[RedisAdmission], client: Redis) -> None:
    """As a client finds the server that took over."""
    for one in instances:
        one._decisions._script.registered_client = client
        one._decisions._client = client


async def test_every_key_is_in_one_slot_of_a_cluster(server: RedisServer) -> None:
    async with Redis.from_url(server.url) as client:
        admission = RedisAdmission(client, POLICY, lambda: "id", shared=SharedPolicy(lag_seconds=0.0))
        await admission.offer(ask(), 0.0)
        await admission.hold(CallId("old"), PayerId("payer"), 9.0, 0.0)
        await admission.grant(0.0)

        assert await client.keys() == await client.keys("{covey}:*")


async def test_where_nothing_can_be_under_way_slots_are_granted_at_once(slots: SharedSlots) -> None:
    instances = await three(slots)
    await slots.forget()
    await all_renew(instances, 20.0)
    await waiting(instances[0], 4, 20.0)
    assert await granted(instances, 20.0) == []  # they join anew
    assert await granted(instances, 31.0) == []  # the control: nobody has vouched

    await instances[0].vouch(31.0)

    assert len(await granted(instances, 31.0)) == 4


async def test_who_vouches_does_not_free_the_slots_that_are_held(slots: SharedSlots) -> None:
    instances = await three(slots)
    await slots.forget()
    await all_renew(instances, 20.0)
    await waiting(instances[0], 4, 20.0)
    assert await granted(instances, 20.0) == []
    await instances[0].hold(CallId("old"), PayerId("old payer"), 90.0, 20.0)

    await instances[0].vouch(31.0)

    assert len(await granted(instances, 31.0)) == 3


async def test_nobody_vouches_for_a_state_that_was_lost_since_they_looked(slots: SharedSlots) -> None:
    instances = await three(slots)
    await slots.forget()
    await all_renew(instances, 20.0)

    await slots.forget()  # what the first had looked at is gone with it
    await instances[0].vouch(31.0)

    await waiting(instances[0], 4, 31.0)
    assert await granted(instances, 31.0) == []
    assert await granted(instances, 42.0) == []
    assert (await instances[0].renew(42.0)).state_lost
    await instances[0].vouch(42.0)
    assert len(await granted(instances, 42.0)) == 4


async def test_the_first_of_all_instances_may_vouch_at_once(slots: SharedSlots) -> None:
    first = slots.new(POLICY)
    await first.vouch(0.0)
    assert not (await first.renew(0.0)).state_lost
    await first.grant(0.0)
    await waiting(first, 4, 10.0)
    assert len(await granted([first], 10.0)) == 4


async def test_what_became_due_since_the_last_grant_wakes_its_worker_at_once(slots: SharedSlots) -> None:
    """Decisions are taken at the server's time, and that passes between two of them."""
    worker = await slots.instance(POLICY, joined=0.0)
    await waiting(worker, 1, 1.0)
    assert await worker.grant(9.9) is None
    assert await worker.next_wakeup(10.1) == pytest.approx(10.1)


async def test_an_instance_that_lives_is_not_gone_though_leases_are_shorter_than_its_heartbeat(
    slots: SharedSlots,
) -> None:
    policy = AdmissionPolicy(slots=4, lease_seconds=4.0)
    owner, other = [await slots.instance(policy) for _ in range(2)]
    await all_renew([owner, other], 0.0)
    await waiting(owner, 1, 1.0)
    assert await owner.grant(1.0) is not None
    assert (await other.renew(9.0)).abandoned == ()
    await waiting(owner, 1, 9.5)
    assert await owner.grant(9.5) is not None
