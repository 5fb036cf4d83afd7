"""What every adapter of the coverage cache must do."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from tests.warming.answers import ACME, GLOBEX, NOON, answer
from warming.cache import CoverageCache, NotedCache


async def test_an_unknown_question_has_no_answer(cache: CoverageCache) -> None:
    assert await cache.get(ACME, "q") is None


async def test_an_answer_comes_back_whole(cache: CoverageCache) -> None:
    assert await cache.put(ACME, "q", answer())
    assert await cache.get(ACME, "q") == answer()
    assert await cache.get(ACME, "q") == answer()


async def test_the_same_key_in_two_tenants_is_two_questions(cache: CoverageCache) -> None:
    await cache.put(ACME, "q", answer(request="ours"))
    assert await cache.get(GLOBEX, "q") is None
    await cache.put(GLOBEX, "q", answer(request="theirs"))
    assert await cache.get(ACME, "q") == answer(request="ours")


async def test_a_newer_answer_takes_the_place_of_an_older_one(cache: CoverageCache) -> None:
    await cache.put(ACME, "q", answer(1))
    assert await cache.put(ACME, "q", answer(2))
    assert await cache.get(ACME, "q") == answer(2)


async def test_an_older_answer_never_overwrites_a_newer_one(cache: CoverageCache) -> None:
    await cache.put(ACME, "q", answer(2))
    assert not await cache.put(ACME, "q", answer(1.999999))
    assert await cache.get(ACME, "q") == answer(2)


async def test_of_two_obtained_at_the_same_moment_the_later_put_stays(cache: CoverageCache) -> None:
    await cache.put(ACME, "q", answer(1, "first"))
    assert await cache.put(ACME, "q", answer(1, "second"))
    assert await cache.get(ACME, "q") == answer(1, "second")


async def test_answers_put_at_once_in_any_order_leave_the_newest(cache: CoverageCache) -> None:
    order = random.Random(7).sample(range(50), 50)
    await asyncio.gather(*(cache.put(ACME, "q", answer(seconds)) for seconds in order))
    assert await cache.get(ACME, "q") == answer(49)


async def test_many_put_together_end_like_one_by_one(cache: CoverageCache) -> None:
    await cache.put_all(
        [(ACME, "a", answer(2)), (ACME, "a", answer(1)), (GLOBEX, "a", answer(3)), (ACME, "b", answer(4))]
    )
    held = [await cache.get(ACME, "a"), await cache.get(GLOBEX, "a"), await cache.get(ACME, "b")]
    assert held == [answer(2), answer(3), answer(4)]
    await cache.put_all([(ACME, "c", answer(5)), (ACME, "d", answer(6))])
    assert [await cache.get(ACME, "a"), await cache.get(GLOBEX, "a"), await cache.get(ACME, "d")] == [
        None,
        None,
        answer(6),
    ]


async def test_past_its_size_the_least_recently_obtained_goes_first(cache: CoverageCache) -> None:
    for key, seconds in (("b", 2), ("a", 1), ("c", 3)):
        assert await cache.put(ACME, key, answer(seconds))
    assert await cache.put(GLOBEX, "d", answer(4))
    assert await cache.get(ACME, "a") is None
    assert await cache.put(ACME, "b", answer(5))
    assert await cache.put(ACME, "e", answer(6))
    assert await cache.get(ACME, "c") is None
    assert [await cache.get(ACME, "b"), await cache.get(GLOBEX, "d")] == [answer(5), answer(4)]


async def test_in_a_full_cache_an_answer_older_than_all_is_not_kept(cache: CoverageCache) -> None:
    for seconds in (2, 3, 4):
        await cache.put(ACME, f"q{seconds}", answer(seconds))
    assert not await cache.put(ACME, "old", answer(1))
    assert await cache.get(ACME, "old") is None
    assert await cache.get(ACME, "q2") == answer(2)


async def test_what_was_obtained_before_a_time_is_deleted(cache: CoverageCache) -> None:
    for seconds in (1, 2, 3):
        await cache.put(ACME, f"q{seconds}", answer(seconds))
    assert await cache.delete_before(NOON + timedelta(seconds=3)) == 2
    assert [await cache.get(ACME, f"q{seconds}") for seconds in (1, 2, 3)] == [None, None, answer(3)]
    assert await cache.delete_before(NOON) == 0


@pytest.mark.parametrize("positions", [(5, 9), (9, 5), (9, 9)])
async def test_the_position_starts_at_nothing_and_never_goes_back(
    noted_cache: NotedCache, positions: tuple[int, int]
) -> None:
    assert await noted_cache.position() == 0
    for position in positions:
        await noted_cache.advance(position)
    assert await noted_cache.position() == 9
