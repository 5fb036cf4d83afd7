"""What every adapter of the admission port promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import pytest
import pytest_asyncio

from bus.events import Priority
from bus.ids import CallId, PayerId, RequestId, TenantId
from scheduler.admission import Admission, BreakerChange, BreakerState, CallEnd, Grant, Joined, QueuePlace, Settled
from scheduler.errors import QueueFull
from scheduler.memory_admission import MemoryAdmission
from scheduler.policy import AdmissionPolicy
from tests.scheduler.asks import ask
from tests.scheduler.shared_slots import shared_slots
from tests.scheduler.simulation import numbered_ids

PAYER = PayerId("payer")
MakeAdmission = Callable[[AdmissionPolicy], Awaitable[Admission]]


@pytest_asyncio.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.services)])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[MakeAdmission]:
    if request.param == "redis":
        async with shared_slots(request.getfixturevalue("redis_url")) as slots:
            yield slots.instance
        return

    async def in_memory(policy: AdmissionPolicy) -> Admission:
        return MemoryAdmission(policy, numbered_ids())

    yield in_memory


@pytest_asyncio.fixture
async def admission(make: MakeAdmission) -> Admission:
    return await make(AdmissionPolicy())


async def grant(admission: Admission, now: float) -> Grant:
    made = await admission.grant(now)
    assert made is not None
    return made


async def test_an_ask_is_queued_granted_and_settled(admission: Admission) -> None:
    assert await admission.offer(ask("a"), 0.0) == QueuePlace(queue_position=1, estimated_wait_seconds=None)
    assert await admission.place(RequestId("a"), 0.0) == QueuePlace(queue_position=1, estimated_wait_seconds=None)

    made = await grant(admission, 1.0)

    assert made.waiters == ("a",)
    assert (made.payer_id, made.tenant_id, made.probe) == (PAYER, TenantId("tenant"), False)
    assert made.lease_expires == 126.0
    assert await admission.place(RequestId("a"), 1.0) is None
    assert await admission.settle(made.call_id, CallEnd.ANSWERED, 4.0) == Settled(
        waiters=(RequestId("a"),), breaker=None
    )
    assert await admission.grant(4.0) is None


async def test_the_same_question_joins_the_call(admission: Admission) -> None:
    await admission.offer(ask("a", question="q"), 0.0)
    made = await grant(admission, 0.0)

    joined = await admission.offer(ask("b", question="q"), 1.0)

    assert joined == Joined(call_id=made.call_id, lease_expires=made.lease_expires)
    assert await admission.leave(RequestId("a"), 1.0)
    assert (await admission.settle(made.call_id, CallEnd.FAILED, 2.0)).waiters == ("b",)


async def test_slots_and_payers_have_their_limits(make: MakeAdmission) -> None:
    admission = await make(AdmissionPolicy(slots=3, slots_per_payer=2))
    for number in range(3):
        await admission.offer(ask(f"a{number}"), 0.0)
    for number in range(2):
        await admission.offer(ask(f"b{number}", payer="other"), 0.0)

    waiters = [(await grant(admission, 0.0)).waiters[0] for _ in range(3)]

    assert waiters == ["a0", "a1", "b0"]
    assert await admission.grant(0.0) is None


async def test_a_call_not_proven_over_keeps_its_slot_until_its_lease_ends(make: MakeAdmission) -> None:
    admission = await make(AdmissionPolicy(slots=1))
    await admission.offer(ask("a"), 0.0)
    await admission.offer(ask("b"), 0.0)
    made = await grant(admission, 0.0)
    await admission.settle(made.call_id, CallEnd.LOST, 1.0)

    assert await admission.settle(made.call_id, CallEnd.ANSWERED, 2.0) == Settled(waiters=(), breaker=None)
    assert await admission.grant(124.9) is None
    assert await admission.next_wakeup(124.9) == 125.0
    assert (await grant(admission, 125.0)).waiters == ("b",)


async def test_calls_of_an_earlier_life_hold_their_slots(make: MakeAdmission) -> None:
    admission = await make(AdmissionPolicy(slots=1))
    await admission.hold(CallId("old"), PAYER, 9.0, 0.0)
    await admission.offer(ask(), 0.0)

    assert await admission.grant(8.9) is None
    assert await admission.grant(9.0) is not None


async def test_an_expiry_is_told_once_at_its_deadline(admission: Admission) -> None:
    await admission.offer(ask("queued", not_before=50.0, deadline=5.0), 0.0)
    await admission.offer(ask("in flight", deadline=6.0), 0.0)
    made = await grant(admission, 0.0)

    assert await admission.next_wakeup(0.0) == 5.0
    assert list(await admission.expired(5.0)) == ["queued"]
    assert list(await admission.expired(6.0)) == ["in flight"]
    assert list(await admission.expired(7.0)) == []
    assert (await admission.settle(made.call_id, CallEnd.ANSWERED, 8.0)).waiters == ()
    assert await admission.next_wakeup(8.0) is None


async def test_a_payer_that_is_down_is_tried_with_one_call(admission: Admission) -> None:
    await admission.open_breaker(PAYER, 0.0)
    await admission.offer(ask(), 0.0)
    await admission.offer(ask(), 0.0)

    assert await admission.next_wakeup(0.0) == 60.0
    probe = await grant(admission, 60.0)
    assert probe.probe
    assert await admission.grant(60.0) is None
    settled = await admission.settle(probe.call_id, CallEnd.ANSWERED, 61.0)
    assert settled.breaker == BreakerChange(payer_id=PAYER, available=True)
    assert not (await grant(admission, 61.0)).probe


async def test_instances_that_start_one_after_another_do_not_put_off_the_probe(admission: Admission) -> None:
    await admission.open_breaker(PAYER, 0.0)
    await admission.offer(ask("a"), 0.0)

    await admission.open_breaker(PAYER, 59.0)
    assert (await grant(admission, 60.0)).probe
    await admission.open_breaker(PAYER, 61.0)
    await admission.offer(ask("b"), 61.0)

    assert await admission.grant(61.0) is None
    assert (await admission.status(61.0)).payers[0].breaker is BreakerState.HALF_OPEN


async def test_failures_in_a_row_find_a_payer_down(admission: Admission) -> None:
    for _ in range(5):
        await admission.offer(ask(), 0.0)
        settled = await admission.settle((await grant(admission, 0.0)).call_id, CallEnd.UNREACHABLE, 1.0)

    assert settled.breaker == BreakerChange(payer_id=PAYER, available=False)
    status = await admission.status(1.0)
    assert [(payer.payer_id, payer.breaker) for payer in status.payers] == [(PAYER, BreakerState.OPEN)]


async def test_a_full_queue_refuses_before_it_accepts(make: MakeAdmission) -> None:
    admission = await make(AdmissionPolicy(queue_limit=1))
    await admission.room(TenantId("tenant"), Priority.INTERACTIVE, 0.0)
    await admission.offer(ask(), 0.0)

    with pytest.raises(QueueFull):
        await admission.room(TenantId("tenant"), Priority.INTERACTIVE, 0.0)


async def test_classes_come_in_order(admission: Admission) -> None:
    asks = [
        ask(f"{priority} {number}", payer=f"{number}", priority=priority) for priority in Priority for number in (1, 2)
    ]
    Random(3).shuffle(asks)
    for wanted in asks:
        await admission.offer(wanted, 0.0)

    classes = [(await grant(admission, 0.0)).waiters[0].split()[0] for _ in asks]

    # The floors of the two lesser classes first, then by urgency.
    assert classes == ["ENROLLMENT", "BACKGROUND", "INTERACTIVE", "INTERACTIVE", "ENROLLMENT", "BACKGROUND"]
