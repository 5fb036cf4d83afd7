"""Filling the cache from the log."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from bus.coverage import Coverage
from bus.events import Answered, Cancelled, Completed, Event, EventData, Failed, Recorded
from bus.failure import Failure, FailureKind
from bus.ids import CallId, EventId, MemberId, PayerId, TenantId
from tests.warming.answers import ACME, GLOBEX, NOON, answer
from warming.cache import CoverageCache, NotedCache
from warming.errors import CacheUnavailable
from warming.memory_cache import MemoryCache
from warming.view import CoverageAnswers, CoverageView

AETNA = PayerId("60054")


def recorded(position: int, data: EventData, tenant_id: TenantId | None = ACME) -> Recorded:
    event = Event(
        id=EventId(str(position)),
        source="/test",
        subject="r",
        time=NOON,
        data=data,
        tenant_id=tenant_id,
        member_id=MemberId("m-1"),
    )
    return Recorded(position=position, event=event)


def completed(question_key: str, coverage: Coverage) -> Completed:
    return Completed(payer_id=AETNA, call_id=CallId("c"), question_key=question_key, coverage=coverage)


def answered(question_key: str, coverage: Coverage | None) -> Answered:
    return Answered(payer_id=AETNA, call_id=CallId("c"), question_key=question_key, coverage=coverage)


async def test_answers_waited_for_and_not_waited_for_are_cached(cache: CoverageCache) -> None:
    await CoverageAnswers(cache).take(
        [recorded(3, completed("q1", answer(1))), recorded(8, answered("q2", answer(2)), tenant_id=GLOBEX)],
    )
    assert await cache.get(ACME, "q1") == answer(1)
    assert await cache.get(GLOBEX, "q2") == answer(2)


async def test_where_it_is_noted_how_far_the_cache_has_come_it_is_noted_behind_the_answers(
    noted_cache: NotedCache,
) -> None:
    await CoverageView(noted_cache).take([recorded(3, completed("q1", answer(1))), recorded(8, answered("q2", None))])
    assert await noted_cache.get(ACME, "q1") == answer(1)
    assert await noted_cache.position() == 8


async def test_nothing_but_answers_is_kept_where_many_partitions_have_many_positions() -> None:
    cache = MemoryCache()
    await CoverageAnswers(cache).take([recorded(3, completed("q1", answer(1)))])
    assert await cache.position() == 0


async def test_what_is_no_coverage_is_not_cached() -> None:
    cache = MemoryCache()
    failure = Failure(code="75", kind=FailureKind.MEMBER_DATA, message="Not found.")
    await CoverageView(cache).take(
        [
            recorded(1, Failed(payer_id=AETNA, failure=failure)),
            recorded(2, Cancelled(payer_id=AETNA)),
            recorded(3, answered("q", None)),
            recorded(4, answered("q", answer()), tenant_id=None),
        ]
    )
    assert await cache.get(ACME, "q") is None


async def test_a_long_stretch_without_answers_is_noted_from_time_to_time() -> None:
    cache = MemoryCache()
    view = CoverageView(cache)
    noted = set()
    for position in range(1, 2_500):
        await view.take([recorded(position, Cancelled(payer_id=AETNA))])
        noted.add(await cache.position())
    assert noted == {0, 1_000, 2_000}


async def test_an_empty_batch_changes_nothing() -> None:
    cache = MemoryCache()
    await CoverageView(cache).take([])
    assert await cache.position() == 0


@pytest.mark.parametrize("seed", range(5))
async def test_repeats_and_reordering_end_alike(seed: int) -> None:
    events = [recorded(n, completed(f"q{n % 3}", answer(n))) for n in range(1, 30)]
    once, shuffled = MemoryCache(), MemoryCache()
    await CoverageView(once).take(events)
    chance = random.Random(seed)
    for _ in range(3):
        await CoverageView(shuffled).take(chance.sample(events, len(events)))
    for key in ("q0", "q1", "q2"):
        assert await shuffled.get(ACME, key) == await once.get(ACME, key)
    assert await shuffled.position() == await once.position() == 29


class FullDisk(MemoryCache):
    """Refuses while `full`."""

    full = True

    async def put_all(self, answers: Sequence[tuple[TenantId, str, Coverage]]) -> None:
        if self.full:
            raise CacheUnavailable("The disk is full.")
        await super().put_all(answers)


async def test_a_cache_that_cannot_be_written_holds_nobody_up_and_the_next_start_reads_again() -> None:
    cache = FullDisk()
    view = CoverageView(cache)
    with capture_logs() as lines:
        await view.take([recorded(1, completed("q1", answer()))])
        await view.take([recorded(2, completed("q2", answer()))])
        cache.full = False
        await view.take([recorded(3, completed("q3", answer()))])
    assert [line["event"] for line in lines] == ["coverage_cache_misses_answers"]
    assert await cache.get(ACME, "q3") == answer()
    assert await cache.position() == 0


@pytest.mark.parametrize("view_type", [CoverageAnswers, CoverageView])
async def test_each_outage_is_told_once(view_type: type[CoverageAnswers | CoverageView]) -> None:
    cache = FullDisk()
    view = view_type(cache)
    with capture_logs() as lines:
        for position, full in enumerate((True, True, False, True, True)):
            cache.full = full
            await view.take([recorded(position, completed("q", answer()))])
    assert [line["event"] for line in lines] == ["coverage_cache_misses_answers"] * 2
