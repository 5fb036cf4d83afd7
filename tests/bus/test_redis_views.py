"""How the views in Redis are filled: by several instances, more than once, out of step, and after Redis forgot."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bus.events import Event, Recorded
from bus.fold import RequestState, fold
from bus.ids import MemberId, RequestId, TenantId
from bus.redis.connection import RedisAddress, redis_client
from bus.redis.keys import place
from bus.redis.todo import Keeping
from bus.redis.views import RedisViews
from bus.sealing import TenantSealer
from tests.bus.conftest import NOON, cancelled, completed, downtime, enqueued, question, scheduled, started, submitted
from tests.bus.redis_world import RedisWorld, recorded, redis_world

T1, M1 = TenantId("t1"), MemberId("m1")
pytestmark = pytest.mark.services


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[RedisWorld]:
    async with redis_world(redis_url) as world:
        yield world


def life(request_id: str, member: str = "m1") -> list[Event]:
    """All events of a request that was answered."""
    events = [submitted(request_id, member=member)]
    events.append(enqueued(events[-1]))
    events.append(scheduled(events[-1], f"c-{request_id}"))
    events.append(started(events[-1], f"c-{request_id}"))
    events.append(completed(events[-1], f"c-{request_id}"))
    return events


def crowd(seed: int) -> list[Recorded]:
    """Twenty requests of three members, interleaved; some events come twice, as two writers may have written them."""
    chance = random.Random(seed)
    waiting = [life(f"r{number}", f"m{number % 3}") for number in range(20)]
    events: list[Event] = []
    while waiting:
        own = chance.choice(waiting)
        events.append(own.pop(0))
        if chance.random() < 0.2:
            events.append(events[-1])
        waiting = [left for left in waiting if left]
    return recorded(events)


def as_folded(events: Sequence[Recorded]) -> dict[str, RequestState]:
    states: dict[str, RequestState] = {}
    for one in events:
        state = fold(states.get(one.event.subject), one)
        if state is not None:
            states[one.event.subject] = state
    return states


async def check(world: RedisWorld, events: Sequence[Recorded]) -> None:
    """The views hold exactly these events."""
    folded = as_folded(events)
    for request_id, state in folded.items():
        assert await world.requests.get(T1, RequestId(request_id)) == state
        known = await world.history.of_request(RequestId(request_id))
        assert known is not None
        assert list(known.events) == [one for one in events if one.event.subject == request_id]
    for member in {one.event.member_id for one in events if one.event.member_id is not None}:
        kept = await world.history.of_member(T1, member, 0, after=0, limit=1_000)
        assert list(kept.events) == [one for one in events if one.event.member_id == member]
        assert (kept.after, kept.through) == (0, events[-1].position)


async def test_a_batch_that_comes_again_adds_nothing(world: RedisWorld) -> None:
    events, views = crowd(1), world.views()
    await views.take(events)
    held = await world.held()
    await views.take(events)
    await views.take(events[3:7])
    await world.views().take(events)
    assert await world.held() == held
    await check(world, events)


@pytest.mark.parametrize("seed", range(5))
async def test_instances_that_bring_the_same_events_at_once_end_where_one_would(world: RedisWorld, seed: int) -> None:
    chance, events = random.Random(seed), crowd(seed)

    async def instance(views: RedisViews) -> None:
        position = 0
        while position < len(events):
            if chance.random() < 0.2:  # a restart: it begins where the views stand or before
                views = world.views()
                position = chance.randint(0, (await views.progress(0)).through)
            size = chance.randint(1, 9)
            await views.take(events[position : position + size])
            position += size
            await asyncio.sleep(0)
        assert not views.lacking

    await asyncio.gather(*(instance(world.views()) for _ in range(3)))
    await check(world, events)


async def test_a_batch_behind_a_hole_is_left_to_the_rebuild(world: RedisWorld) -> None:
    events, views = recorded(life("r1")), world.views()
    await views.take(events[:2])
    await world.forget()
    with capture_logs() as lines:
        await views.take(events[2:4])
        await views.take(events[4:])
    assert views.lacking == {0}
    assert views.missed.is_set()
    assert [line["event"] for line in lines] == ["views_lack_events"]
    assert await world.held() == {}
    assert await views.write(0, events, after=0) == 5
    await views.settle(0)
    assert not views.lacking
    await check(world, events)


async def test_partitions_are_kept_apart(world: RedisWorld) -> None:
    views = world.views()
    await views.take(recorded(life("r1", "m1"), partition=3))
    await views.take([*recorded(life("r2", "m2"), after=70, partition=5)])
    assert views.lacking == {5}  # positions up to 70 were never brought
    assert await views.begin(5, 70) == 70
    assert await views.write(5, recorded(life("r2", "m2"), after=70, partition=5), after=70) == 75
    assert [(await views.progress(partition)).through for partition in (0, 3, 5)] == [0, 5, 75]
    own = await world.history.of_member(T1, MemberId("m2"), 5, after=0, limit=10)
    assert (len(own.events), own.after, own.through) == (5, 70, 75)
    assert (await world.history.of_member(T1, MemberId("m2"), 3, after=0, limit=10)).events == ()


async def test_events_of_payers_are_nobodys_history(world: RedisWorld) -> None:
    await world.views().take(recorded([downtime()]))
    assert await world.held() == {}


async def test_what_others_wrote_counts_as_taken(world: RedisWorld) -> None:
    events, views = recorded(life("r1")), world.views()
    assert not await world.views().take(events[:3])
    assert await views.unwritten(events[:2]) == []
    assert await views.unwritten(events[2:4]) == events[3:4]
    assert await views.take(events[2:3])
    assert not await views.take(events[3:])
    assert not views.lacking
    await check(world, events)


async def test_one_that_wrote_before_needs_one_round_trip(world: RedisWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    events, views = recorded([*life("r1"), *life("r2")]), world.views()
    await views.take(events[:2])

    async def asked(*_: object) -> None:
        raise AssertionError("What it wrote itself it need not ask for.")

    monkeypatch.setattr(views, "_standing", asked)
    await views.take(events[2:7])
    await views.take(events[7:])
    monkeypatch.undo()
    await check(world, events)


async def test_what_is_remembered_never_stands_against_what_others_wrote(world: RedisWorld) -> None:
    """A second beginning of a request does not count, also for one that never heard of the first."""
    begun, goes_on = life("r1", "m1")[:2]
    events, views = recorded([begun, *life("r2"), life("r1", "m2")[0], goes_on]), world.views()
    await world.views().take(events[:1])
    await views.take(events[1:6])
    await views.take(events[6:])
    assert await world.requests.get(T1, RequestId("r1")) == as_folded(events)["r1"]


async def test_what_is_being_written_is_not_taken_for_lost(world: RedisWorld) -> None:
    views = world.views()
    for position, event in enumerate(life("r1"), start=1):
        writing = asyncio.create_task(views.take(recorded([event], after=position - 1)))
        await asyncio.sleep(0)
        await views.look()
        assert not views.lacking
        await writing


async def test_what_is_left_is_lacking_until_a_rebuild_brought_it(world: RedisWorld) -> None:
    events, views = recorded(life("r1")), world.views()
    await views.take(events[:3])
    views.leave(events[3:])
    assert views.lacking == {0} and views.missed.is_set()
    assert await views.write(0, events[3:], after=3) == 5
    await views.settle(0)
    assert not views.lacking
    await check(world, events)


async def test_history_is_given_in_portions_and_says_how_far_it_reaches(world: RedisWorld) -> None:
    events = recorded([*life("r1"), *life("foreign", "m2"), *life("r2")])
    await world.views().take(events)
    mine = [one for one in events if one.event.member_id == M1]
    first = await world.history.of_member(T1, M1, 0, after=2, limit=4)
    assert (list(first.events), first.after, first.through) == (mine[2:6], 2, 11)
    rest = await world.history.of_member(T1, M1, 0, after=11, limit=100)
    assert (list(rest.events), rest.after, rest.through) == (mine[6:], 11, 15)
    beyond = await world.history.of_member(T1, M1, 0, after=20, limit=100)
    assert beyond.events == () and beyond.through < beyond.after


async def test_history_of_a_request_is_whole_or_not_known(redis_url: str) -> None:
    async with redis_world(redis_url, keeping=Keeping(retention=timedelta(days=3650), events_per_member=6)) as world:
        await world.views().take(recorded([*life("r1"), *life("r2")]))
        assert await world.history.of_request(RequestId("r1")) is None
        assert await world.history.of_request(RequestId("unheard-of")) is None
        whole = await world.history.of_request(RequestId("r2"), after=8)
        assert whole is not None and [one.position for one in whole.events] == [9, 10]


async def test_an_open_request_is_known_as_far_as_the_views_stand(world: RedisWorld) -> None:
    await world.views().take(recorded([*life("r1")[:2], *life("r2")]))
    known = await world.history.of_request(RequestId("r1"))
    assert known is not None and (known.events[-1].position, known.through) == (2, 7)


async def test_a_members_history_is_bounded_and_says_where_it_begins(redis_url: str) -> None:
    async with redis_world(redis_url, keeping=Keeping(retention=timedelta(days=3650), events_per_member=6)) as world:
        await world.views().take(recorded([*life("r1"), *life("r2")]))
        kept = await world.history.of_member(T1, M1, 0, after=0, limit=100)
        assert ([one.position for one in kept.events], kept.after, kept.through) == ([5, 6, 7, 8, 9, 10], 4, 10)


async def test_what_is_older_than_the_retention_goes_by_itself(redis_url: str) -> None:
    async with redis_world(redis_url) as world:
        now = world.clock.now()
    async with redis_world(redis_url, keeping=Keeping(retention=timedelta(days=7))) as world:
        old = submitted("old", time=now - timedelta(days=8))
        gone = [old, cancelled(old)]
        young = submitted("young", time=now)
        await world.views().take(recorded([*gone, young]))
        assert await world.requests.get(T1, RequestId("old")) is None
        page = await world.requests.page(T1, member_id=None, statuses=frozenset(), first=5, before=None)
        assert [state.request_id for state in page.requests] == ["young"]
        assert await world.requests.people_asked_about(T1, M1, M1, now - timedelta(days=30)) == {
            question().person_key(T1)
        }


async def test_history_claims_nothing_that_may_have_expired(redis_url: str) -> None:
    async with redis_world(redis_url) as world:
        now = world.clock.now()
    keeping = Keeping(retention=timedelta(days=7))
    async with redis_world(redis_url, keeping=keeping) as world:
        views = world.views()
        for position, days in enumerate((9, 8, 6, 1), start=1):
            event = submitted(f"r{position}", time=now - timedelta(days=days))
            await views.take(recorded([event], after=position - 1))
        kept = await world.history.of_member(T1, M1, 0, after=0, limit=100)
        assert ([one.position for one in kept.events], kept.after, kept.through) == ([3, 4], 2, 4)


async def test_every_key_expires(world: RedisWorld) -> None:
    await world.views().take(crowd(1))
    for key in await world.held():
        assert await world.redis.pttl(key) > 0, key


async def test_nothing_that_lies_in_redis_tells_who_somebody_is(redis_url: str) -> None:
    async with redis_world(redis_url, sealer=TenantSealer(b"k" * 32)) as world:
        await world.views().take(recorded(life("r1", "member-17")))
        for key, value in (await world.held()).items():
            for secret in (b"member-17", b"Rivera", b"W000000001", b"1980-01-01", b"Open Choice"):
                assert secret not in key and secret not in str(value).encode()


async def test_a_redis_that_is_away_holds_no_reader_up(unused_tcp_port: int) -> None:
    async with redis_client(RedisAddress(url=f"redis://127.0.0.1:{unused_tcp_port}/0")) as redis:
        views = RedisWorld(redis).views()
        with capture_logs() as lines:
            await views.take(recorded(life("r1")))
        assert views.lacking == {0}
        assert [line["reason"] for line in lines] == ["Redis cannot be reached now."]


def test_places_fall_with_the_time_of_submission_and_fit_into_64_bits() -> None:
    later = NOON + timedelta(microseconds=1)
    assert place(NOON, 5) < place(NOON, 6) < place(later, 1)
    assert place(NOON + timedelta(days=365 * 60), 1 << 40) < 1 << 64
