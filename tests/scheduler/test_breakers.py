"""Bar 16: a payer that fails is left alone, and asked again by one probe."""

from __future__ import annotations

import pytest

from scheduler.admission import BreakerChange, BreakerState, CallEnd
from tests.scheduler.asks import ask, granted, names
from tests.scheduler.test_core import PAYER, breaker, call, core_of, grant


def test_bar_16_five_failures_in_a_row_open_the_breaker_and_one_probe_closes_it() -> None:
    core = core_of()
    changes = [call(core, 0.0, end, 1.0) for end in [CallEnd.UNREACHABLE] * 4 + [CallEnd.TIMED_OUT]]
    assert changes == [None] * 4 + [BreakerChange(payer_id=PAYER, available=False)]
    for _ in range(3):
        core.offer(ask(), 2.0)
    assert core.grant(60.9) is None
    assert core.next_wakeup(2.0) == 61.0

    probe = grant(core, 61.0)
    assert probe.probe
    assert breaker(core, 61.0) is BreakerState.HALF_OPEN
    assert core.grant(61.0) is None

    settled = core.settle(probe.call_id, CallEnd.ANSWERED, 62.0)
    assert settled.breaker == BreakerChange(payer_id=PAYER, available=True)
    assert [made.probe for made in granted(core, 62.0)] == [False, False]


def test_bar_16_two_failures_thirty_seconds_apart_open_it_too() -> None:
    core = core_of()

    assert call(core, 0.0, CallEnd.UNREACHABLE, 1.0) is None
    assert call(core, 20.0, CallEnd.UNREACHABLE, 1.0) is None
    assert call(core, 30.0, CallEnd.UNREACHABLE, 1.0) is not None
    assert breaker(core, 31.0) is BreakerState.OPEN


@pytest.mark.parametrize("end", [CallEnd.LOST, CallEnd.FAILED, CallEnd.NOT_MADE])
def test_bar_16_what_is_not_the_payers_fault_neither_counts_nor_ends_a_run(end: CallEnd) -> None:
    core = core_of()
    for _ in range(4):
        assert call(core, 0.0, CallEnd.UNREACHABLE, 1.0) is None
    assert call(core, 0.0, end, 1.0) is None
    assert breaker(core, 1.0) is BreakerState.CLOSED

    assert call(core, 0.0, CallEnd.UNREACHABLE, 1.0) is not None


def test_bar_16_an_answer_ends_a_run() -> None:
    core = core_of()
    for end in [CallEnd.UNREACHABLE] * 4 + [CallEnd.ANSWERED] + [CallEnd.UNREACHABLE] * 4:
        assert call(core, 0.0, end, 1.0) is None


@pytest.mark.parametrize("end", [CallEnd.UNREACHABLE, CallEnd.TIMED_OUT])
def test_bar_16_a_failed_probe_opens_again_and_is_not_told_twice(end: CallEnd) -> None:
    core = core_of()
    core.open_breaker(PAYER, 0.0)
    core.offer(ask(), 0.0)
    core.offer(ask(), 0.0)
    probe = grant(core, 60.0)

    assert core.settle(probe.call_id, end, 61.0).breaker is None
    assert core.grant(120.9) is None
    assert grant(core, 121.0).probe


@pytest.mark.parametrize("end", [CallEnd.LOST, CallEnd.FAILED, CallEnd.NOT_MADE])
def test_bar_16_a_probe_that_tells_nothing_is_given_back(end: CallEnd) -> None:
    core = core_of()
    core.open_breaker(PAYER, 0.0)
    core.offer(ask(), 0.0)
    core.offer(ask(), 0.0)

    assert core.settle(grant(core, 60.0).call_id, end, 61.0).breaker is None
    assert grant(core, 61.0).probe


def test_bar_16_a_probe_nobody_settles_is_given_back_with_its_lease() -> None:
    core = core_of()
    core.open_breaker(PAYER, 0.0)
    core.offer(ask(), 0.0)
    core.offer(ask(), 0.0)
    probe = grant(core, 60.0)

    assert core.grant(184.9) is None
    assert core.next_wakeup(184.9) == 185.0
    assert grant(core, 185.0).probe
    assert core.settle(probe.call_id, CallEnd.ANSWERED, 186.0).breaker is None


def test_bar_16_calls_made_before_it_opened_do_not_speak_for_the_payer() -> None:
    core = core_of()
    core.offer(ask("early"), 0.0)
    core.offer(ask("early too"), 0.0)
    early, too = granted(core, 0.0)
    core.open_breaker(PAYER, 1.0)

    assert core.settle(early.call_id, CallEnd.ANSWERED, 2.0).breaker is None
    assert core.settle(too.call_id, CallEnd.UNREACHABLE, 2.0).breaker is None
    assert breaker(core, 2.0) is BreakerState.OPEN
    assert breaker(core, 61.0) is BreakerState.HALF_OPEN


def test_bar_16_a_breaker_is_its_own_payers_alone() -> None:
    core = core_of()
    core.open_breaker(PAYER, 0.0)
    core.offer(ask("down"), 0.0)
    core.offer(ask("up", payer="other"), 0.0)

    assert names(granted(core, 0.0)) == ["up"]
