"""The views filled from a real Kafka, and a log that answers from them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bus.clock import SystemClock
from bus.ids import MemberId, RequestId, TenantId, random_id
from bus.kafka.backlog import KafkaBacklog
from bus.kafka.log import KafkaLog
from bus.redis.lease import RedisLease
from bus.redis.rebuild import Rebuild
from tests.bus.conftest import completed, enqueued, submitted
from tests.bus.kafka_logs import link_to, new_topics, open_kafka_log
from tests.bus.redis_world import RedisWorld, redis_world

T1 = TenantId("t1")
pytestmark = pytest.mark.services


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[RedisWorld]:
    async with redis_world(redis_url) as world:
        yield world


def rebuild_of(world: RedisWorld, backlog: KafkaBacklog) -> Rebuild:
    lease = RedisLease(world.redis, world.keys.rebuild, SystemClock(), random_id, seconds=15)
    return Rebuild(world.views(), backlog, lease, world.clock)


async def fill(log: KafkaLog, requests: int) -> None:
    """Requests of ten members; two of three have ended."""
    firsts = [submitted(f"r{number}", member=f"m{number % 10}") for number in range(requests)]
    await log.append(firsts)
    seconds = [enqueued(first) for first in firsts]
    await log.append(seconds)
    await log.append([completed(second) for number, second in enumerate(seconds) if number % 3])


async def test_an_empty_redis_is_filled_from_every_partition(kafka_address: str, world: RedisWorld) -> None:
    link = link_to(kafka_address)
    async with new_topics(link) as prefix, open_kafka_log(link, prefix) as log:
        await fill(log, 30)
        assert await rebuild_of(world, KafkaBacklog(link, log, prefix=prefix)).fill()
        open_ids = {state.request_id async for state in world.requests.open_requests()}
        assert open_ids == {f"r{number}" for number in range(0, 30, 3)}


async def test_a_log_without_memory_answers_from_the_views_alone(
    kafka_address: str, world: RedisWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = link_to(kafka_address)
    async with new_topics(link) as prefix:
        async with open_kafka_log(link, prefix) as log:
            await fill(log, 30)
            backlog = KafkaBacklog(link, log, prefix=prefix)
            assert await rebuild_of(world, backlog).fill()
            of_member = await log.read_member(T1, MemberId("m4"), after=0, limit=100)
            of_request = await log.read_request(RequestId("r3"))
        assert len(of_member) == 3 + 3 + 2 and len(of_request) == 2

        async def unasked(*_: object, **__: object) -> None:
            raise AssertionError("Kafka was asked for what the views hold")

        async with open_kafka_log(link, prefix, history=lambda _: world.history) as later:
            monkeypatch.setattr("bus.kafka.seeking.KafkaSeeker.read", unasked)
            assert list(await later.read_member(T1, MemberId("m4"), after=0, limit=100)) == of_member
            rest = await later.read_member(T1, MemberId("m4"), after=of_member[2].position, limit=100)
            assert list(rest) == of_member[3:]
            assert await later.read_request(RequestId("r3")) == of_request


async def test_what_the_views_lack_comes_from_kafka(kafka_address: str, world: RedisWorld) -> None:
    link = link_to(kafka_address)
    async with new_topics(link) as prefix:
        async with open_kafka_log(link, prefix) as log:
            await fill(log, 30)
            assert await rebuild_of(world, KafkaBacklog(link, log, prefix=prefix)).fill()
            await log.append([submitted("new", member="m4")])
        async with open_kafka_log(link, prefix, history=lambda _: world.history) as later:
            events = await later.read_member(T1, MemberId("m4"), after=0, limit=100)
            more = await later.read_member(T1, MemberId("m4"), after=events[-1].position, limit=100)
            assert [one.event.subject for one in more] == ["new"]
            await world.forget()
            assert list(await later.read_member(T1, MemberId("m4"), after=0, limit=100)) == [*events, *more]
