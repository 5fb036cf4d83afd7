"""Whatever crashes, pauses or is lost, the vendor never counts more calls than there are slots: in every order."""

from __future__ import annotations

import pytest

from tests.scheduler.lease_model import Rules, explore

pytestmark = pytest.mark.unmeasured  # of the program nothing runs here


@pytest.mark.slow
def test_never_more_calls_than_slots() -> None:
    explored = explore(Rules())

    assert explored.broken is None
    assert explored.worlds > 10_000, "the model does something"
    assert explored.resumed, "and slots are granted again before a whole lease has passed"


@pytest.mark.parametrize("left_out", Rules._fields)
def test_without_any_one_of_its_rules_the_protocol_breaks(left_out: str) -> None:
    assert explore(Rules(**{left_out: False})).broken is not None
