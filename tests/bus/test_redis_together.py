"""Commands that travel together, each with its own answer, error, and caller who may leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import DataError, ResponseError

from bus.errors import StateUnavailable
from bus.ids import random_id
from bus.redis.connection import RedisAddress, reached, redis_client
from tests.services.redis import RedisServer

pytestmark = pytest.mark.services


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_client(RedisAddress(url=redis_url)) as redis:
        yield redis


async def test_each_caller_has_its_own_answer_or_error(redis: Redis) -> None:
    key = random_id()
    try:
        answers = await asyncio.gather(
            redis.set(key, "text"),
            redis.get(key),
            redis.incr(key),
            *(redis.echo(f"{number}") for number in range(1_000)),
            return_exceptions=True,
        )
    finally:
        await redis.delete(key)
    assert answers[:2] == [True, b"text"]
    assert isinstance(answers[2], ResponseError)
    assert answers[3:] == [f"{number}".encode() for number in range(1_000)]


async def test_commands_of_one_turn_share_a_connection(redis: Redis) -> None:
    ids = await asyncio.gather(*(redis.client_id() for _ in range(100)))
    assert len(set(ids)) == 1


async def test_trip_after_trip_goes_over_one_connection(redis: Redis) -> None:
    ids = [await redis.client_id() for _ in range(10)]
    assert len(set(ids)) == 1


async def test_a_connection_that_redis_closed_is_made_again(redis: Redis, redis_url: str) -> None:
    before = await redis.client_id()
    async with redis_client(RedisAddress(url=redis_url)) as other:
        assert await other.client_kill_filter(_id=str(before)) == 1
    assert await redis.echo("behind it") == b"behind it"
    assert await redis.client_id() != before


async def test_who_leaves_costs_the_others_nothing(redis: Redis) -> None:
    leaving = asyncio.ensure_future(reached(redis.echo("leaving")))
    staying = asyncio.ensure_future(reached(redis.echo("staying")))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"staying"
    assert leaving.cancelled()
    assert await redis.echo("later") == b"later"


async def test_a_server_that_is_away_is_told_to_everybody(unused_tcp_port: int) -> None:
    async with redis_client(RedisAddress(url=f"redis://127.0.0.1:{unused_tcp_port}/0")) as redis:
        told = await asyncio.gather(*(redis.get("key") for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in told] == [Disconnected] * 5


async def test_what_is_under_way_arrives_before_the_client_closes(redis_url: str) -> None:
    async with redis_client(RedisAddress(url=redis_url)) as redis:
        under_way = [asyncio.ensure_future(reached(redis.echo(f"{number}"))) for number in range(3_000)]
        await asyncio.sleep(0)
    assert [await one for one in under_way] == [f"{number}".encode() for number in range(3_000)]


async def test_nobody_waits_longer_for_a_server_that_does_not_answer_than_the_first(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    await server.start()
    try:
        async with redis_client(RedisAddress(url=server.url)) as redis:
            await redis.ping()
            server.process.freeze()
            trips = [asyncio.ensure_future(reached(redis.echo("first")))]
            for _ in range(20):
                await asyncio.sleep(0)
                trips.append(asyncio.ensure_future(reached(redis.echo("more"))))
            done, _ = await asyncio.wait(trips, return_when=asyncio.FIRST_COMPLETED)
            assert all(isinstance(one.exception(), StateUnavailable) for one in done)
            await asyncio.wait(trips, timeout=2.0)
            assert all(one.done() for one in trips)
            for one in trips:
                one.exception()
            server.process.thaw()
            # The answers that came too late are not taken for those to what is asked now.
            assert [await redis.echo(f"{number}") for number in range(20)] == [
                f"{number}".encode() for number in range(20)
            ]
    finally:
        server.process.thaw()
        await server.stop()


async def test_what_cannot_be_written_is_its_own_callers_trouble_alone(redis: Redis) -> None:
    answers = await asyncio.gather(
        redis.echo("before"),
        redis.echo(None),  # type: ignore[arg-type]
        redis.echo("\ud800"),
        redis.echo("behind"),
        return_exceptions=True,
    )
    assert list(answers[::3]) == [b"before", b"behind"]
    assert [type(answer) for answer in answers[1:3]] == [DataError, UnicodeEncodeError]


async def test_more_commands_than_redis_ever_leaves_waiting_are_refused(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.redis.together._WAITING_COMMANDS", 50)
    answers = await asyncio.gather(*(reached(redis.echo("text")) for _ in range(60)), return_exceptions=True)
    assert [isinstance(answer, StateUnavailable) for answer in answers] == [False] * 50 + [True] * 10
    assert await redis.echo("later") == b"later"
