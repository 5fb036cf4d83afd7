"""Bar 28: what a decision costs grows with the logarithm of what waits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from math import log
from types import FrameType
from typing import TypeAlias

import pytest

from bus.ids import CallId, RequestId
from scheduler.admission import Ask, CallEnd
from scheduler.core import AdmissionCore
from tests.scheduler.asks import ask
from tests.scheduler.test_core import core_of

pytestmark = pytest.mark.unmeasured  # the test notes each line itself

TraceFunction: TypeAlias = Callable[[FrameType, str, object], "TraceFunction"]
Decide = Callable[[AdmissionCore, int], object]
DECISIONS: dict[str, Decide] = {
    "offer": lambda core, number: core.offer(spread(number), 1.0),
    "place": lambda core, number: core.place(RequestId(f"waiting {number}"), 1.0),
    "grant": lambda core, number: core.grant(1.0),
    "settle": lambda core, number: core.settle(CallId(f"call-{number + 1}"), CallEnd.ANSWERED, 2.0),
    "leave": lambda core, number: core.leave(RequestId(f"waiting {number}"), 2.0),
    "expired": lambda core, number: core.expired(100.0 + number),
    "wakeup": lambda core, number: core.next_wakeup(200.0),
}


def spread(number: int) -> Ask:
    """Asks of 500 tenants, each for all of 40 payers in turn, one expiring every second from 100 s on."""
    tenant, payer = number % 500, (number + number // 500) % 40
    return ask(f"waiting {number}", tenant=f"tenant {tenant}", payer=f"payer {payer}", deadline=100.0 + number)


def steps_of_decisions(waiting: int, decisions: Mapping[str, Decide] = DECISIONS) -> dict[str, int]:
    """Lines of the program that ten of each decision run through, among so many that wait."""
    core = core_of()
    for number in range(waiting):
        core.offer(spread(number), 0.0)
    lines = 0

    def count(frame: FrameType, event: str, arg: object) -> TraceFunction:
        nonlocal lines
        lines += event == "line"
        return count

    steps = {}
    tracing = sys.gettrace()
    for kind, decide in decisions.items():
        numbers = range(waiting, waiting + 10) if kind == "offer" else range(10)
        lines = 0
        sys.settrace(count)
        try:
            for number in numbers:
                decide(core, number)
        finally:
            sys.settrace(tracing)
        steps[kind] = lines
    return steps


def test_bar_28_a_decision_among_ten_times_as_many_costs_no_more_than_the_logarithm_says() -> None:
    few, many = steps_of_decisions(1_000), steps_of_decisions(10_000)

    for kind in DECISIONS:
        assert many[kind] <= few[kind] * log(10_000) / log(1_000), kind


def test_bar_28_control_a_look_at_all_that_wait_costs_ten_times_as_much() -> None:
    def look_at_all(core: AdmissionCore, number: int) -> None:
        for _ in core._deadlines._entries:
            pass

    looks = {"look": look_at_all}

    assert steps_of_decisions(2_000, looks)["look"] > 5 * steps_of_decisions(200, looks)["look"]
