"""The view of requests in Redis, brought up to what a process has read of the log."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bus.errors import LogUnavailable, StateUnavailable
from bus.events import Topic
from bus.fold import RequestStatus
from bus.ids import MemberId, RequestId, TenantId
from bus.kafka.records import Place
from bus.kafka.tail import KafkaTail
from bus.redis.connection import RedisAddress, redis_client
from bus.redis.fresh import FreshRequests
from tests.bus.conftest import question, submitted
from tests.bus.redis_world import RedisWorld, recorded, redis_world
from tests.bus.test_redis_views import life

T1, M1 = TenantId("t1"), MemberId("m1")
PLACE = Place(Topic.RTE, 0)
pytestmark = pytest.mark.services


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[RedisWorld]:
    async with redis_world(redis_url) as world:
        yield world


class Asked:
    """Answers so, and counts how often it was asked."""

    def __init__(self, answer: bool = True) -> None:
        self.answer = answer
        self.times = 0

    async def __call__(self) -> bool:
        self.times += 1
        return self.answer


def fresh(world: RedisWorld, tail: KafkaTail, caught_up: Asked, whole: Asked) -> FreshRequests:
    return FreshRequests(world.redis, world.keys, world.values, tail, caught_up=caught_up, whole=whole)


async def test_what_views_that_lost_something_do_not_have_is_not_said_to_be_none(world: RedisWorld) -> None:
    whole = Asked(False)
    requests = fresh(world, KafkaTail({PLACE: 0}, max_events=10, max_bytes=1_000_000), Asked(), whole)
    with pytest.raises(StateUnavailable):
        await requests.get(T1, RequestId("r1"))
    await world.views().take(recorded([submitted("r1")]))
    assert await requests.get(T1, RequestId("r1")) is not None
    whole.answer = True
    assert await requests.get(T1, RequestId("r2")) is None


async def test_what_redis_has_not_yet_is_read_from_memory(world: RedisWorld) -> None:
    events, tail, caught_up = recorded(life("r1")), KafkaTail({PLACE: 0}, max_events=10, max_bytes=1_000_000), Asked()
    requests = fresh(world, tail, caught_up, Asked())
    await tail.take(events[:1])
    state = await requests.get(T1, RequestId("r1"))
    assert state is not None and (state.status, caught_up.times) == (RequestStatus.SUBMITTED, 0)
    assert await requests.people_asked_about(T1, M1, M1, events[0].event.time) == {question().person_key(T1)}
    assert await requests.people_asked_about(T1, M1, "another", events[0].event.time) == frozenset()

    await world.views().take(events[:2])
    await tail.take(events[1:4])
    [state] = await requests.states([RequestId("r1"), RequestId("unknown")])
    assert (state.status, state.sequence) == (RequestStatus.STARTED, 4)


async def test_redis_is_not_asked_about_what_is_whole_in_memory(world: RedisWorld, unused_tcp_port: int) -> None:
    events, tail = recorded(life("r1")), KafkaTail({PLACE: 0}, max_events=4, max_bytes=1_000_000)
    async with redis_client(RedisAddress(url=f"redis://127.0.0.1:{unused_tcp_port}/0")) as away:
        requests = FreshRequests(away, world.keys, world.values, tail, caught_up=Asked(), whole=Asked())
        await tail.take(events[:4])
        [state] = await requests.states([RequestId("r1")])
        assert state.status is RequestStatus.STARTED
        await tail.take(events[4:])  # its first event has gone
        with pytest.raises(StateUnavailable):
            await requests.states([RequestId("r1")])


async def test_a_request_just_accepted_elsewhere_is_waited_for(world: RedisWorld) -> None:
    tail = KafkaTail({PLACE: 0}, max_events=10, max_bytes=1_000_000)

    class Reading(Asked):
        async def __call__(self) -> bool:
            await tail.take(recorded([submitted("r1")]))
            return await super().__call__()

    requests = fresh(world, tail, Reading(), Asked())
    assert await requests.get(T1, RequestId("r1")) is not None


async def test_what_is_known_is_answered_while_the_log_is_away_or_late_and_of_the_rest_nothing_is_said(
    world: RedisWorld,
) -> None:
    class Away(Asked):
        async def __call__(self) -> bool:
            raise LogUnavailable("Kafka cannot be reached now.")

    await world.views().take(recorded([submitted("r1")]))
    for caught_up in (Away(), Asked(False)):
        requests = fresh(world, KafkaTail({PLACE: 0}, max_events=10, max_bytes=1_000_000), caught_up, Asked())
        assert await requests.get(T1, RequestId("r1")) is not None
        with pytest.raises(StateUnavailable):
            await requests.get(T1, RequestId("r2"))
