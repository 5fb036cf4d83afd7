"""Bar 23: which answers a caller gets, as a full table of modes, ages and windows."""

from __future__ import annotations

import itertools

import pytest

from bus.events import CacheMode
from warming.freshness import CacheDecision, Freshness

ANSWER, REFRESH, SUBMIT = CacheDecision.ANSWER, CacheDecision.ANSWER_AND_REFRESH, CacheDecision.SUBMIT

FRESH_SECONDS, STALE_SECONDS = 100.0, 1000.0
AGES: dict[str, tuple[float | None, ...]] = {
    "fresh": (-3600.0, -0.000001, 0.0, 50.0, 99.999999),
    "stale": (100.0, 100.000001, 500.0, 999.999999),
    "beyond": (1000.0, 1000.000001, 1e9, float("inf")),
    "nothing": (None,),
}
TABLE = {
    (CacheMode.DEFAULT, "fresh"): ANSWER,
    (CacheMode.DEFAULT, "stale"): REFRESH,
    (CacheMode.DEFAULT, "beyond"): SUBMIT,
    (CacheMode.DEFAULT, "nothing"): SUBMIT,
    (CacheMode.PREFER_CACHE, "fresh"): ANSWER,
    (CacheMode.PREFER_CACHE, "stale"): ANSWER,
    (CacheMode.PREFER_CACHE, "beyond"): SUBMIT,
    (CacheMode.PREFER_CACHE, "nothing"): SUBMIT,
    (CacheMode.REQUIRE_FRESH, "fresh"): SUBMIT,
    (CacheMode.REQUIRE_FRESH, "stale"): SUBMIT,
    (CacheMode.REQUIRE_FRESH, "beyond"): SUBMIT,
    (CacheMode.REQUIRE_FRESH, "nothing"): SUBMIT,
}


def test_bar_23_the_table_has_every_mode_in_every_state() -> None:
    assert set(TABLE) == set(itertools.product(CacheMode, AGES))


@pytest.mark.parametrize(
    ("mode", "state", "age_seconds"),
    [(mode, state, age) for mode in CacheMode for state, ages in AGES.items() for age in ages],
)
def test_bar_23_a_mode_decides_by_the_age_of_the_entry(mode: CacheMode, state: str, age_seconds: float | None) -> None:
    freshness = Freshness(fresh_seconds=FRESH_SECONDS, stale_seconds=STALE_SECONDS)
    assert freshness.decide(mode, age_seconds) is TABLE[mode, state]


@pytest.mark.parametrize("mode", [CacheMode.DEFAULT, CacheMode.PREFER_CACHE])
@pytest.mark.parametrize("stale_seconds", [0.0, 50.0, 100.0])
@pytest.mark.parametrize(("age_seconds", "decision"), [(99.9, ANSWER), (100.0, SUBMIT)])
def test_bar_23_without_a_stale_window_only_fresh_entries_are_given_out(
    mode: CacheMode, stale_seconds: float, age_seconds: float, decision: CacheDecision
) -> None:
    assert Freshness(fresh_seconds=100.0, stale_seconds=stale_seconds).decide(mode, age_seconds) is decision


@pytest.mark.parametrize("mode", CacheMode)
def test_bar_23_windows_of_nothing_switch_the_cache_off(mode: CacheMode) -> None:
    assert Freshness(fresh_seconds=0, stale_seconds=0).decide(mode, 0.0) is SUBMIT
