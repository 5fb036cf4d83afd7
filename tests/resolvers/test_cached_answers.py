"""What a submission takes from the cache, and the refresh that a stale answer starts."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from bus.events import CacheMode, Priority, Purpose
from resolvers.answers import CoverageSource
from resolvers.submission import Answered
from tests.resolvers.test_submission import _AGES, _EXPECTED, accepted
from tests.resolvers.world import (
    FRESH_SECONDS,
    MEMBER,
    OTHER_TENANT,
    World,
    in_world,
    member,
    service,
)


@pytest.mark.parametrize(("mode", "entry"), list(product(CacheMode, _AGES)))
def test_each_mode_takes_from_the_cache_what_the_table_says(mode: CacheMode, entry: str) -> None:
    async def scenario(world: World) -> None:
        age_seconds = _AGES[entry]
        if age_seconds is not None:
            await world.put(age_seconds)
        result = await world.submit(cache_mode=mode)
        requests = await world.requests()
        match _EXPECTED.get((mode, entry), "submit"):
            case "submit":
                assert [request.request_id for request in requests] == [accepted(result).request_id]
                assert requests[0].purpose is Purpose.ASKED
            case "answer":
                assert isinstance(result, Answered)
                assert result.refresh is None
                assert requests == []
            case "answer and refresh":
                assert isinstance(result, Answered)
                assert result.refresh is not None
                assert [request.request_id for request in requests] == [result.refresh.state.request_id]
                assert requests[0].purpose is Purpose.REFRESH
                assert requests[0].priority is Priority.BACKGROUND
        if isinstance(result, Answered):
            assert result.coverage.source is CoverageSource.CACHE
            assert result.coverage.age_seconds == age_seconds
            assert world.submits() == {"answered": 1}

    in_world(scenario)


def test_fifty_readers_of_a_stale_answer_make_one_refresh() -> None:
    async def scenario(world: World) -> None:
        await world.put(FRESH_SECONDS + 1)
        results = await asyncio.gather(*(world.submit(service()) for _ in range(50)))
        ids = {result.refresh.state.request_id for result in results}
        assert len(ids) == 1
        assert len(await world.requests()) == 1
        await world.clock.sleep(10)
        result = await world.submit()
        assert isinstance(result, Answered)
        assert result.refresh is None
        assert result.coverage.age_seconds < 10
        assert world.scheduler.payer.calls == list(ids)

    in_world(scenario)


def test_a_refresh_still_open_from_the_bucket_before_is_joined() -> None:
    async def scenario(world: World) -> None:
        world.scheduler.payer.seconds = 100_000
        await world.put(FRESH_SECONDS + 1)
        await world.clock.sleep(595)  # the tests' day begins on a bucket's edge
        first = await world.submit()
        await world.clock.sleep(10)
        second = await world.submit()
        assert second.refresh.state.request_id == first.refresh.state.request_id
        assert len(await world.requests()) == 1

    in_world(scenario)


def test_a_refresh_that_failed_is_not_repeated_before_its_bucket_ends() -> None:
    from tests.scheduler.world import rejection

    async def scenario(world: World) -> None:
        world.scheduler.payer.script = [rejection()]
        await world.put(FRESH_SECONDS + 1)
        await world.submit()
        await world.clock.sleep(60)
        result = await world.submit()
        assert isinstance(result, Answered)
        assert result.refresh is None
        assert len(await world.requests()) == 1
        await world.clock.sleep(600)
        result = await world.submit()
        assert result.refresh is not None
        assert len(await world.requests()) == 2

    in_world(scenario)


@pytest.mark.parametrize("trouble", ["full", "away"])
def test_a_refresh_that_cannot_start_does_not_hinder_the_answer(trouble: str) -> None:
    async def scenario(world: World) -> None:
        await world.put(FRESH_SECONDS + 1)
        if trouble == "full":
            world.fill_queue()
        world.log.away = trouble == "away"
        result = await world.submit()
        assert isinstance(result, Answered)
        assert result.refresh is None

    in_world(scenario)


def test_the_cache_never_answers_with_what_another_member_or_tenant_brought() -> None:
    async def scenario(world: World) -> None:
        await world.put(1)
        accepted(await world.submit(member("m-2"), member_id="m-2"))
        accepted(await world.submit(member(MEMBER, OTHER_TENANT)))
        assert isinstance(await world.submit(), Answered)

    in_world(scenario)
