"""The AAA codes and HTTP statuses as outcomes, one case for each row of Stedi's tables."""

from __future__ import annotations

import pytest

from bus.failure import FailureKind
from bus.question import Question
from payer.aaa import FOLLOW_UPS, MEANINGS, outcome_of_errors, outcome_of_status
from payer.outcome import Broken, Outcome, Rejection, Throttled, Unreachable
from payer.statement import AaaError
from tests.payer.conftest import JORDAN, question

MEMBER = FailureKind.MEMBER_DATA
PROVIDER = FailureKind.PROVIDER
INTERNAL = FailureKind.INTERNAL
DOWN = FailureKind.PAYER_UNAVAILABLE

PROVIDER_CODES = ("43", "44", "45", "46", "47", "48", "49", "50", "51", "52", "53", "97")
REVIEW_CODES = ("04", "35", "98", "AA", "AE", "AF", "AG", "AO", "CI", "E8", "IA", "MA")

# code, HTTP status -> outcome, kind, field
ROWS: list[tuple[str, int, type, FailureKind, str | None]] = [
    ("42", 200, Unreachable, DOWN, None),
    ("42", 400, Unreachable, DOWN, None),
    ("80", 200, Unreachable, DOWN, None),
    ("79", 200, Unreachable, DOWN, None),
    ("79", 400, Rejection, INTERNAL, None),
    ("41", 200, Rejection, FailureKind.ENROLLMENT, None),
    *((code, 200, Rejection, PROVIDER, None) for code in PROVIDER_CODES),
    ("44", 400, Rejection, PROVIDER, None),
    ("58", 200, Rejection, MEMBER, "subscriber.dateOfBirth"),
    ("64", 200, Rejection, MEMBER, "subscriber.memberId"),
    ("72", 200, Rejection, MEMBER, "subscriber.memberId"),
    ("65", 200, Rejection, MEMBER, "subscriber.lastName"),
    ("73", 200, Rejection, MEMBER, "subscriber.lastName"),
    ("66", 200, Rejection, MEMBER, None),
    ("74", 200, Rejection, MEMBER, None),
    ("67", 200, Rejection, MEMBER, "subscriber.firstName"),
    ("75", 200, Rejection, MEMBER, "subscriber.memberId"),
    ("68", 200, Rejection, MEMBER, "subscriber.memberId"),
    ("76", 200, Rejection, MEMBER, "subscriber.memberId"),
    ("71", 200, Rejection, MEMBER, "subscriber.dateOfBirth"),
    ("77", 200, Rejection, MEMBER, "subscriber.firstName"),
    ("78", 200, Rejection, MEMBER, "subscriber.memberId"),
    *((code, 200, Rejection, INTERNAL, None) for code in ("15", "33", "T4")),
    *((code, 200, Rejection, MEMBER, "serviceTypeCodes") for code in ("54", "55", "69", "70")),
    *((code, 200, Rejection, MEMBER, "dateOfService") for code in ("56", "57", "60", "61", "62", "63")),
    *((code, 200, Rejection, INTERNAL, None) for code in REVIEW_CODES),
    ("Z9", 200, Rejection, INTERNAL, None),
]


def judged(*codes: str, http_status: int = 200, asked: Question | None = None, location: str = "") -> Outcome:
    errors = [AaaError(code=code, location=location) for code in codes]
    return outcome_of_errors(errors, http_status, asked or question())


@pytest.mark.parametrize(("code", "http_status", "outcome", "kind", "field"), ROWS)
def test_an_aaa_code_is_the_outcome_its_row_says(
    code: str, http_status: int, outcome: type, kind: FailureKind, field: str | None
) -> None:
    found = judged(code, http_status=http_status)
    assert type(found) is outcome
    assert not isinstance(found, Throttled | Broken)
    failure = getattr(found, "failure")  # noqa: B009 -- its type is the table's, not the checker's
    assert (failure.code, failure.kind, failure.field) == (code, kind, field)
    assert failure.message


def test_every_code_of_the_table_has_a_case_here() -> None:
    assert {row[0] for row in ROWS} - {"Z9"} == set(MEANINGS)


@pytest.mark.parametrize("http_status", [200, 400])
def test_42_with_79_is_a_payer_that_cannot_be_reached(http_status: int) -> None:
    found = judged("79", "42", http_status=http_status)
    assert isinstance(found, Unreachable)
    assert found.failure.code == "42"


@pytest.mark.parametrize(
    ("codes", "decisive"),
    [
        (("42", "75"), "75"),
        (("43", "72"), "72"),
        (("72", "73"), "72"),
        (("41", "43"), "43"),
        (("80", "41"), "41"),
        (("04", "80"), "80"),
        (("Z9", "42"), "42"),
        (("15", "58"), "58"),
    ],
)
def test_what_a_person_can_mend_goes_before_what_only_time_mends(codes: tuple[str, ...], decisive: str) -> None:
    found = judged(*codes)
    assert isinstance(found, Rejection | Unreachable)
    assert found.failure.code == decisive


@pytest.mark.parametrize(
    ("code", "location", "field"),
    [
        ("71", "", "dependent.dateOfBirth"),
        ("71", "DEPENDENT", "dependent.dateOfBirth"),
        ("71", "LOOP 2100D", "dependent.dateOfBirth"),
        ("71", "SUBSCRIBER", "subscriber.dateOfBirth"),
        ("71", "LOOP 2100C", "subscriber.dateOfBirth"),
        ("65", "", "dependent.lastName"),
        ("67", "", "dependent.firstName"),
        ("77", "", "dependent.firstName"),
        ("77", "SUBSCRIBER", "dependent.firstName"),
        ("75", "", "subscriber.memberId"),
        ("73", "", "subscriber.lastName"),
    ],
)
def test_the_field_to_correct_is_the_patients_where_a_dependent_was_asked_about(
    code: str, location: str, field: str
) -> None:
    found = judged(code, asked=question(dependent=JORDAN), location=location)
    assert isinstance(found, Rejection)
    assert found.failure.field == field


@pytest.mark.parametrize("follow_up", sorted(FOLLOW_UPS))
def test_known_advice_is_passed_on(follow_up: str) -> None:
    found = outcome_of_errors([AaaError(code="42", follow_up=follow_up)], 200, question())
    assert isinstance(found, Unreachable)
    assert found.failure.follow_up == follow_up


def test_free_text_of_a_payer_is_not_passed_on() -> None:
    error = AaaError(code="JANE DOE, BORN 2000", follow_up="Call Jane Doe")
    found = outcome_of_errors([error], 200, question())
    assert isinstance(found, Rejection)
    assert (found.failure.code, found.failure.follow_up) == ("AAA_UNKNOWN", None)


@pytest.mark.parametrize(
    ("http_status", "outcome", "kind"),
    [
        (400, Rejection, INTERNAL),
        (401, Rejection, INTERNAL),
        (403, Rejection, INTERNAL),
        (404, Rejection, INTERNAL),
        (413, Rejection, INTERNAL),
        (422, Rejection, INTERNAL),
        (429, Throttled, FailureKind.RATE_LIMITED),
        (500, Broken, INTERNAL),
        (502, Broken, INTERNAL),
        (503, Broken, INTERNAL),
        (504, Unreachable, DOWN),
        (204, Broken, INTERNAL),
        (302, Broken, INTERNAL),
    ],
)
def test_an_http_status_is_the_outcome_its_row_says(http_status: int, outcome: type, kind: FailureKind) -> None:
    found = outcome_of_status(http_status)
    assert type(found) is outcome
    assert not hasattr(found, "coverage")
    failure = getattr(found, "failure")  # noqa: B009 -- as above
    assert (failure.code, failure.kind) == (f"HTTP_{http_status}", kind)


@pytest.mark.parametrize(
    ("pointers", "kind", "field"),
    [
        (["/subscriber/memberId"], MEMBER, "subscriber.memberId"),
        (["/provider/npi", "/subscriber/name/person/lastName"], MEMBER, "subscriber.lastName"),
        (["/encounter/services/0/value"], MEMBER, "serviceTypeCodes"),
        (["/dependents/0/dateOfBirth"], MEMBER, "dependent.dateOfBirth"),
        (["/provider/npi"], PROVIDER, None),
        (["/subscriber/memberIdentifier", "", "nonsense"], INTERNAL, None),
        ([], INTERNAL, None),
    ],
)
def test_a_refused_request_names_the_field_if_it_can_be_corrected(
    pointers: list[str], kind: FailureKind, field: str | None
) -> None:
    found = outcome_of_status(400, pointers)
    assert isinstance(found, Rejection)
    assert (found.failure.kind, found.failure.field) == (kind, field)
