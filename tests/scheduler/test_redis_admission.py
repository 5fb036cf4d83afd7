"""What only an adapter for many instances has to promise; what all promise is in test_admission_contract.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected

from bus.errors import StateUnavailable
from bus.events import Priority
from bus.ids import CallId, PayerId, RequestId, TenantId, random_id
from bus.redis.connection import RedisAddress, redis_client
from scheduler.admission import BreakerChange, CallEnd, Joined
from scheduler.errors import QueueFull
from scheduler.policy import AdmissionPolicy
from scheduler.redis import script as script_module
from scheduler.redis.admission import RedisAdmission
from scheduler.redis.script import Answer, Decisions, SharedPolicy
from tests.scheduler.asks import ask
from tests.scheduler.shared_slots import SharedSlots, shared_slots
from tests.services.process import free_ports

pytestmark = pytest.mark.services

PAYER = PayerId("payer")


@pytest_asyncio.fixture
async def slots(redis_url: str) -> AsyncIterator[SharedSlots]:
    async with shared_slots(redis_url) as slots:
        yield slots


async def test_three_instances_at_once_are_granted_no_more_than_there_is(slots: SharedSlots) -> None:
    instances = [await slots.instance(AdmissionPolicy()) for _ in range(3)]
    for number in range(60):
        await instances[number % 3].offer(ask(payer=f"payer-{number % 6}"), 0.0)

    grants = await asyncio.gather(*(instances[number % 3].grant(0.0) for number in range(60)))

    made = [grant for grant in grants if grant is not None]
    assert len(made) == len({grant.call_id for grant in made}) == 15
    assert max(sum(grant.payer_id == f"payer-{number}" for grant in made) for number in range(6)) <= 5


async def test_an_instance_joins_the_call_that_another_makes(slots: SharedSlots) -> None:
    gateway, worker = [await slots.instance(AdmissionPolicy()) for _ in range(2)]
    await gateway.offer(ask("a", question="q"), 0.0)
    made = await worker.grant(0.0)
    assert made is not None and made.waiters == ("a",)

    joined = await gateway.offer(ask("b", question="q"), 1.0)

    assert joined == Joined(call_id=made.call_id, lease_expires=made.lease_expires)
    assert await gateway.leave(RequestId("a"), 2.0)
    assert (await worker.settle(made.call_id, CallEnd.ANSWERED, 3.0)).waiters == ("b",)


async def test_only_the_owner_ends_a_call(slots: SharedSlots) -> None:
    worker, stranger = [await slots.instance(AdmissionPolicy()) for _ in range(2)]
    await worker.offer(ask("a"), 0.0)
    made = await worker.grant(0.0)
    assert made is not None

    assert (await stranger.settle(made.call_id, CallEnd.ANSWERED, 1.0)).waiters == ()

    assert (await stranger.status(1.0)).held == 1
    assert (await worker.settle(made.call_id, CallEnd.ANSWERED, 1.0)).waiters == ("a",)


async def test_a_payer_that_is_down_is_tried_with_one_call_over_all_instances(slots: SharedSlots) -> None:
    instances = [await slots.instance(AdmissionPolicy()) for _ in range(3)]
    await instances[0].open_breaker(PAYER, 0.0)
    for _ in range(6):
        await instances[0].offer(ask(), 0.0)

    assert await asyncio.gather(*(one.grant(59.9) for one in instances)) == [None, None, None]
    grants = await asyncio.gather(*(one.grant(60.0) for one in instances))

    [(prober, probe)] = [(one, made) for one, made in zip(instances, grants, strict=True) if made is not None]
    assert probe.probe
    settled = await prober.settle(probe.call_id, CallEnd.ANSWERED, 61.0)
    assert settled.breaker == BreakerChange(payer_id=PAYER, available=True)


async def test_failures_at_different_instances_are_failures_in_a_row(slots: SharedSlots) -> None:
    instances = [await slots.instance(AdmissionPolicy()) for _ in range(3)]
    changes = []
    for number in range(5):
        one = instances[number % 3]
        await one.offer(ask(), 0.0)
        made = await one.grant(0.0)
        assert made is not None
        changes.append((await one.settle(made.call_id, CallEnd.UNREACHABLE, 1.0)).breaker)

    assert changes == [None, None, None, None, BreakerChange(payer_id=PAYER, available=False)]


async def test_a_grant_whose_answer_was_lost_is_granted_once(slots: SharedSlots, losing: Losing) -> None:
    admission = await slots.instance(AdmissionPolicy())
    await admission.offer(ask("a"), 0.0)
    await admission.offer(ask("b"), 0.0)

    losing.answers = 1
    with pytest.raises(StateUnavailable):
        await admission.grant(0.0)
    made = await admission.grant(0.5)

    assert made is not None and made.waiters == ("a",)
    assert (await admission.status(0.5)).held == 1


async def test_waiters_of_a_settled_call_are_told_though_the_answer_was_lost(
    slots: SharedSlots, losing: Losing
) -> None:
    admission = await slots.instance(AdmissionPolicy())
    await admission.offer(ask("a"), 0.0)
    made = await admission.grant(0.0)
    assert made is not None

    losing.answers = 1
    with pytest.raises(StateUnavailable):
        await admission.settle(made.call_id, CallEnd.ANSWERED, 1.0)

    assert (await admission.settle(made.call_id, CallEnd.ANSWERED, 2.0)).waiters == ("a",)
    assert (await admission.settle(made.call_id, CallEnd.ANSWERED, 3.0)).waiters == ()


async def test_an_expiry_is_told_though_the_answer_was_lost(slots: SharedSlots, losing: Losing) -> None:
    admission = await slots.instance(AdmissionPolicy())
    await admission.offer(ask("a", deadline=5.0), 0.0)

    losing.answers = 1
    with pytest.raises(StateUnavailable):
        await admission.expired(5.0)

    assert list(await admission.expired(6.0)) == ["a"]
    assert list(await admission.expired(7.0)) == []


async def test_only_answers_that_tell_something_are_kept_for_a_repeat(slots: SharedSlots) -> None:
    admission = await slots.instance(AdmissionPolicy())

    async def kept() -> int:
        return len([name async for name in slots.client.scan_iter(match=f"{slots.prefix}:answer:*", count=10_000)])

    assert await admission.grant(0.0) is None
    assert list(await admission.expired(0.0)) == []
    assert await kept() == 0

    await admission.offer(ask("a"), 0.0)
    await admission.offer(ask("b", deadline=1.0, not_before=0.5), 0.0)
    assert await admission.grant(0.0) is not None
    assert list(await admission.expired(1.0)) == ["b"]
    assert await kept() == 2


class Losing:
    """So many answers are lost on their way back."""

    answers = 0


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> Losing:
    losing, run = Losing(), Decisions._run

    async def run_and_lose(*arguments: object) -> Answer:
        answer = await run(*arguments)  # type: ignore[arg-type]
        if losing.answers:
            losing.answers -= 1
            raise Disconnected
        return answer

    monkeypatch.setattr(Decisions, "_run", run_and_lose)
    return losing


async def test_a_server_that_is_away_is_said_to_be_away() -> None:
    [port] = free_ports(1)
    async with Redis(port=port, retry=Retry(NoBackoff(), 0)) as client:
        admission = RedisAdmission(client, AdmissionPolicy(), random_id)
        with pytest.raises(StateUnavailable):
            await admission.offer(ask(), 0.0)
        with pytest.raises(StateUnavailable):
            await admission.grant(0.0)
        with pytest.raises(StateUnavailable):
            await admission.renew(0.0)


async def test_others_are_rung_when_something_changed(slots: SharedSlots) -> None:
    gateway, worker = [await slots.instance(AdmissionPolicy()) for _ in range(2)]
    rung = asyncio.Event()
    watching = asyncio.create_task(worker.watch(rung.set))
    await rung.wait()  # once at the beginning, for what was missed
    rung.clear()

    await gateway.offer(ask(), 0.0)
    await rung.wait()

    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_nobody_is_rung_for_an_end_that_nobody_waits_for(slots: SharedSlots) -> None:
    worker, other = [await slots.instance(AdmissionPolicy(slots=1)) for _ in range(2)]
    for number in range(2):
        await worker.offer(ask(f"r{number}", question=f"q{number}"), 0.0)
    first = await worker.grant(0.0)
    assert first is not None
    rung = asyncio.Event()
    watching = asyncio.create_task(other.watch(rung.set))
    await rung.wait()  # once at the beginning, for what was missed
    rung.clear()

    assert (await worker.settle(first.call_id, CallEnd.ANSWERED, 1.0)).calls_wait
    await rung.wait()
    second = await worker.grant(1.0)
    assert second is not None
    rung.clear()
    assert not (await worker.settle(second.call_id, CallEnd.ANSWERED, 2.0)).calls_wait
    await other.renew(2.0)  # whatever was to come is here by now
    assert not rung.is_set()

    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_grant_brings_along_when_to_look_again(slots: SharedSlots, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await slots.instance(AdmissionPolicy(slots=1, lease_seconds=125.0))
    for number in range(2):
        await worker.offer(ask(f"r{number}", question=f"q{number}", deadline=500.0), 0.0)
    assert await worker.grant(0.0) is not None

    async def asked(*_: object, **__: object) -> None:
        raise AssertionError("It was told already.")

    with monkeypatch.context() as patched:
        patched.setattr(worker._decisions, "take", asked)
        assert await worker.next_wakeup(0.0) == pytest.approx(125.0)
    assert await worker.next_wakeup(0.0) == pytest.approx(125.0)  # once; then it is asked anew
    assert await worker.grant(0.0) is None
    await worker.leave(RequestId("r0"), 0.0)
    await worker.leave(RequestId("r1"), 0.0)
    assert await worker.next_wakeup(0.0) is None  # what this instance decided since then is known to it


async def test_the_servers_own_time_is_what_counts(redis_url: str) -> None:
    """Callers whose clocks have nothing in common."""
    policy, shared = AdmissionPolicy(lease_seconds=0.05), SharedPolicy(lag_seconds=0.0)
    prefix = f"{{test-{random_id()}}}:admission"
    async with redis_client(RedisAddress(url=redis_url)) as client:
        here = RedisAdmission(client, policy, random_id, shared=shared, prefix=prefix)
        there = RedisAdmission(client, policy, random_id, shared=shared, prefix=prefix)
        await here.grant(monotonic())
        await there.offer(ask("a", deadline=-5e9 + 60.0, not_before=-5e9), -5e9)
        await asyncio.sleep(0.06)

        made = await here.grant(1e9)

        assert made is not None and made.waiters == ("a",)
        assert made.lease_expires == pytest.approx(1e9 + 0.05)
        assert (await there.expired(-5e9)) == ()
        await asyncio.sleep(0.06)
        assert (await there.status(-5e9)).held == 0
        async for key in client.scan_iter(match=f"{prefix}:*", count=10_000):
            await client.delete(key)


@pytest.mark.parametrize("seconds", [3_600.0, -3_600.0])
async def test_a_clock_that_leaps_ends_no_lease_early(redis_url: str, seconds: float) -> None:
    """The server's clock cannot be set by a test: the time it last said is, as if it had leapt since."""
    shared = SharedPolicy(lag_seconds=0.0)
    prefix = f"{{test-{random_id()}}}:admission"
    async with redis_client(RedisAddress(url=redis_url)) as client:
        short = AdmissionPolicy(slots=1, lease_seconds=0.01)
        await RedisAdmission(client, short, random_id, shared=shared, prefix=prefix).grant(monotonic())
        await asyncio.sleep(0.02)
        holder = RedisAdmission(client, AdmissionPolicy(slots=1), random_id, shared=shared, prefix=prefix)
        other = RedisAdmission(client, AdmissionPolicy(slots=1), random_id, shared=shared, prefix=prefix)
        await other.grant(monotonic())
        for name in ("a", "b"):
            await holder.offer(ask(name, deadline=monotonic() + 1_000), monotonic())
        held = await holder.grant(monotonic())
        assert held is not None
        await holder.next_wakeup(monotonic())  # as workers do: with this, what the grant foresaw is used up

        await leap(client, prefix, held.call_id, seconds)

        assert await other.grant(monotonic()) is None
        assert await holder.grant(monotonic()) is None
        assert await other.grant(monotonic()) is None
        assert (await other.status(0.0)).held == 1
        async for key in client.scan_iter(match=f"{prefix}:*", count=10_000):
            await client.delete(key)


async def leap(client: Redis, prefix: str, call_id: CallId, seconds: float) -> None:
    """Set back everything that was written, by so much."""
    await client.hincrbyfloat(f"{prefix}:meta", "time", -seconds)
    await client.hincrbyfloat(f"{prefix}:meta", "from", -seconds)
    await client.zincrby(f"{prefix}:leases", -seconds, call_id)
    for instance in await client.zrange(f"{prefix}:roster", 0, -1):
        await client.zincrby(f"{prefix}:roster", -seconds, instance)  # type: ignore[arg-type]  # without scores they are bytes


async def test_where_there_is_plenty_of_room_redis_is_not_asked_for_every_request(
    slots: SharedSlots, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    run = Decisions._run

    async def counted(decisions: Decisions, command: str, name: str, arguments: dict[str, Any], now: float) -> Answer:
        if command == "room":
            asked.append(now)
        return await run(decisions, command, name, arguments, now)

    monkeypatch.setattr(Decisions, "_run", counted)
    admission = await slots.instance(AdmissionPolicy(queue_limit=20))
    tenant_id = TenantId("tenant")
    for number in range(17):
        await admission.room(tenant_id, Priority.INTERACTIVE, 0.0)
        await admission.offer(ask(f"a{number}"), 0.0)
    assert asked == [0.0]
    for number in range(17, 20):  # near the limit each is asked
        await admission.room(tenant_id, Priority.INTERACTIVE, 0.05)
        await admission.offer(ask(f"a{number}"), 0.05)
    with pytest.raises(QueueFull):
        await admission.room(tenant_id, Priority.INTERACTIVE, 0.06)
    assert asked == [0.0, 0.05, 0.05, 0.06]


async def test_what_was_known_of_the_room_is_soon_asked_again(slots: SharedSlots) -> None:
    one, other = [await slots.instance(AdmissionPolicy(queue_limit=20)) for _ in range(2)]
    await one.room(TenantId("tenant"), Priority.INTERACTIVE, 0.0)
    for number in range(20):
        await other.offer(ask(f"a{number}"), 0.0)
    await one.room(TenantId("tenant"), Priority.INTERACTIVE, 0.05)
    with pytest.raises(QueueFull):
        await one.room(TenantId("tenant"), Priority.INTERACTIVE, 0.1)


async def test_a_state_that_begins_anew_again_and_again_is_one_that_cannot_be_used(
    slots: SharedSlots, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission = await slots.instance(AdmissionPolicy())
    asked: list[str] = []

    async def anew(decisions: Decisions, command: str, *_: object) -> Answer:
        asked.append(command)
        return Answer(epoch=f"epoch {len(asked)}", decided=msgspec.Raw(b""), done=command == "register" and registers)

    monkeypatch.setattr(Decisions, "_run", anew)
    for registers in (False, True):  # noqa: B007 - `anew` reads it
        for decided in (admission.grant, admission.next_wakeup):
            with pytest.raises(StateUnavailable):
                await decided(0.0)
    assert len(asked) < 50


async def test_only_so_many_lost_answers_are_remembered(
    slots: SharedSlots, losing: Losing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script_module, "_UNANSWERED", 2)
    admission = await slots.instance(AdmissionPolicy())
    names: dict[str, list[str]] = {}
    run = Decisions._run

    async def named(decisions: Decisions, command: str, name: str, arguments: dict[str, Any], now: float) -> Answer:
        names.setdefault(arguments.get("request", ""), []).append(name)
        return await run(decisions, command, name, arguments, now)

    monkeypatch.setattr(Decisions, "_run", named)
    losing.answers = 3
    for request_id in ("a", "b", "c"):
        with pytest.raises(StateUnavailable):
            await admission.leave(RequestId(request_id), 0.0)
    for request_id in ("a", "b", "c"):
        await admission.leave(RequestId(request_id), 1.0)
    assert [len(set(names[request_id])) for request_id in ("a", "b", "c")] == [2, 1, 1]
