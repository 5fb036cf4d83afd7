"""When another call is worth making."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest

from bus.coverage import Coverage, CoverageStatus
from bus.failure import Failure, FailureKind
from bus.ids import PayerId, RequestId
from payer.outcome import Answer, Broken, Outcome, Rejection, Throttled, Unfinished, Unreachable
from scheduler.retries import RetryPolicy

FAILURE = Failure(code="TEST", kind=FailureKind.INTERNAL, message="For a test.")
ANSWER = Answer(
    coverage=Coverage(
        status=CoverageStatus.ACTIVE,
        payer_id=PayerId("payer"),
        obtained_at=datetime(2026, 11, 23, tzinfo=UTC),
        request_id=RequestId("request"),
    )
)
RETRIED = [
    (Throttled(failure=FAILURE), 0.5, 10.0, 30),
    (Unreachable(failure=FAILURE), 1.0, 20.0, 4),
    (Unfinished(failure=FAILURE, timed_out=True), 1.0, 20.0, 4),
    (Unfinished(failure=FAILURE, timed_out=False), 1.0, 20.0, 4),
    (Broken(failure=FAILURE), 0.5, 5.0, 3),
]


class Longest(Random):
    """Always draws the end of the range."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize("outcome", [ANSWER, Rejection(failure=FAILURE)])
def test_what_is_settled_is_not_asked_again(outcome: Outcome) -> None:
    assert RetryPolicy(Random(1)).delay_seconds(outcome, 1) is None


@pytest.mark.parametrize(("outcome", "base", "cap", "attempts"), RETRIED)
def test_pauses_double_up_to_a_cap_and_end(outcome: Outcome, base: float, cap: float, attempts: int) -> None:
    policy = RetryPolicy(Longest())

    pauses = [policy.delay_seconds(outcome, attempt) for attempt in range(1, attempts)]

    assert pauses == [min(cap, base * 2 ** (attempt - 1)) for attempt in range(1, attempts)]
    assert policy.delay_seconds(outcome, attempts) is None
    assert policy.delay_seconds(outcome, attempts + 1) is None


def test_jitter_spreads_over_the_whole_pause() -> None:
    policy = RetryPolicy(Random(7))

    pauses = [policy.delay_seconds(Unreachable(failure=FAILURE), 3) or 0.0 for _ in range(400)]

    assert min(pauses) < 0.2
    assert 3.8 < max(pauses) <= 4.0
