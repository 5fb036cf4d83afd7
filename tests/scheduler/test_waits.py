"""What recent calls tell."""

from __future__ import annotations

from random import Random

import pytest

from bus.events import Priority
from scheduler.flights import Forecast
from scheduler.waits import Arrivals, Calibration, Durations, Waits


def test_a_median_needs_five_calls_and_a_mean_one() -> None:
    durations = Durations()
    assert durations.mean(0.0) is None
    assert durations.next_change(0.0) is None
    for seconds in (9.0, 1.0, 3.0, 2.0):
        durations.record(seconds, 0.0)
    assert durations.mean(0.0) == pytest.approx(3.75)
    assert durations.median(0.0) is None

    durations.record(100.0, 0.0)

    assert durations.median(0.0) == 3.0


def test_only_recent_calls_count() -> None:
    durations = Durations(size=10)
    for _ in range(100):
        durations.record(50.0, 0.0)
    for _ in range(10):
        durations.record(1.0, 100.0)

    assert durations.mean(100.0) == pytest.approx(1.0)
    assert durations.next_change(100.0) == 700.0
    assert durations.median(699.9) == 1.0
    assert durations.median(700.0) is None


def test_a_stream_is_known_by_its_rate() -> None:
    arrivals, random, now = Arrivals(), Random(3), 0.0
    assert arrivals.per_second(now) == 0.0
    for _ in range(1_000):
        now += random.expovariate(2.0)
        arrivals.record(now)

    assert arrivals.per_second(now) == pytest.approx(2.0, rel=0.3)
    assert arrivals.per_second(now + 1_200.0) < 0.01


def test_a_handful_at_once_is_no_stream() -> None:
    arrivals = Arrivals()
    for _ in range(50):
        arrivals.record(10.0)

    assert arrivals.per_second(10.1) == 0.0


def test_calibration_finds_the_factor_between_estimates_and_waits() -> None:
    calibration, random = Calibration(), Random(5)
    for _ in range(2_000):
        calibration.learn(calibration.factor, 2.0 * random.lognormvariate(0.0, 0.5))

    assert calibration.factor == pytest.approx(2.0, rel=0.25)


def test_calibration_has_its_limits() -> None:
    calibration = Calibration()
    for _ in range(1_000):
        calibration.learn(1.0, 1_000.0)

    assert calibration.factor == pytest.approx(4.0)


def test_each_class_learns_for_itself() -> None:
    waits = Waits()
    for _ in range(100):
        waits.granted(Forecast(at=0.0, priority=Priority.BACKGROUND, wait_seconds=1.0), 10.0)

    assert waits.calibrated(Priority.BACKGROUND, 1.0) > 2.0
    assert waits.calibrated(Priority.INTERACTIVE, 1.0) == 1.0


def test_more_urgent_streams_take_their_share_of_the_slots_but_never_all() -> None:
    waits = Waits()
    for number in range(600):
        waits.arrived(Priority.INTERACTIVE, number * 0.5)

    assert waits.share_left(Priority.INTERACTIVE, 15, 5.0, 300.0) == 3.0
    assert waits.share_left(Priority.BACKGROUND, 15, 5.0, 300.0) == pytest.approx(1.0, rel=0.1)
    assert waits.share_left(Priority.BACKGROUND, 5, 5.0, 300.0) == pytest.approx(0.05)
