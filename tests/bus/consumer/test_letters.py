"""What stands on a retry and a dead letter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.consumer import letters
from bus.consumer.errors import Rejected, Undecodable
from bus.consumer.letters import Letter, LetterUnreadable, Origin

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OWN = [("ce_id", b"e1"), ("ce_type", b"rte.completed")]

letter = st.builds(
    Letter,
    group=st.sampled_from(["a", "mail-2"]),
    origin=st.builds(Origin, st.just("rte.events"), st.integers(0, 50), st.integers(0, 2**60)),
    attempts=st.integers(0, 100),
    cause=st.text(max_size=60),
    trace=st.text(max_size=60),
    failed_at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    due=st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)


@given(letter, letter)
def test_a_letter_is_read_as_it_was_written_and_replaces_an_earlier_one(earlier: Letter, written: Letter) -> None:
    headers = letters.write(letters.write(OWN, earlier), written)
    read = letters.read(headers)
    assert letters.own(headers) == OWN
    assert (read.origin, read.attempts, read.cause, read.trace) == (
        written.origin,
        written.attempts,
        written.cause,
        written.trace,
    )
    assert (read.due is None) == (written.due is None)
    if read.due is not None and written.due is not None:
        assert timedelta(0) <= read.due - written.due < timedelta(milliseconds=1)


@pytest.mark.parametrize("lost", ["covey-group", "covey-offset", "covey-attempts", "covey-failed-at"])
def test_half_a_letter_is_none(lost: str) -> None:
    whole = letters.write(
        OWN, Letter(group="a", origin=Origin("t", 0, 1), attempts=1, cause="c", trace="", failed_at=NOON)
    )
    with pytest.raises(LetterUnreadable):
        letters.read([header for header in whole if header[0] != lost])


def failing(message: str) -> Exception:
    try:
        try:
            raise KeyError(message)
        except KeyError as error:
            raise RuntimeError(message) from error
    except RuntimeError as error:
        return error


def test_cause_and_trace_tell_the_code_and_nothing_of_the_event() -> None:
    error = failing("Jane Doe, born 1990-01-01")
    assert letters.cause_of(error) == "RuntimeError from KeyError"
    assert letters.trace_of(error).startswith(f"{__name__}:")
    assert letters.trace_of(error).endswith(" failing")
    assert "Jane" not in letters.cause_of(error) + letters.trace_of(error)


def test_a_rejection_is_told_by_its_code() -> None:
    assert letters.cause_of(Rejected("no-address")) == "rejected: no-address"
    assert letters.cause_of(Undecodable("no type")) == "undecodable: no type"


def test_a_settlement_names_its_letter() -> None:
    assert letters.settled_by(letters.settlement(41)) == 41
    assert letters.settled_by(OWN) is None
