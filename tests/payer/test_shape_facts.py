"""Both shapes: how single facts of an answer are read."""

from __future__ import annotations

from datetime import date

import pytest

from bus.coverage import CoverageLevel, Network, TimePeriod
from payer import current_shape, legacy_shape
from payer.wire import days
from tests.payer.answers import (
    current_row,
    from_current,
    from_legacy,
    legacy_row,
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("25", "25"),
        (" 25.00 ", "25.00"),
        ("0", "0"),
        (30, "30"),
        (0.2, "0.2"),
        ("-5.5", "-5.5"),
        (".5", ".5"),
        ("$25", None),
        ("n/a", None),
        ("", None),
        (True, None),
        (10**400, None),
        (None, None),
        (["25"], None),
        ("٣", None),
    ],
)
def test_amounts_and_percents_stay_decimal_text(written: object, read: str | None) -> None:
    assert legacy_row(benefitAmount=written).amount == read
    assert legacy_row(benefitPercent=written).percent == read
    assert current_row(amount=written).amount == read
    assert current_row("coInsurance", percent=written).percent == read


@pytest.mark.parametrize(
    ("code", "word", "network"),
    [
        ("Y", "IN_NETWORK", Network.IN_NETWORK),
        ("N", "OUT_OF_NETWORK", Network.OUT_OF_NETWORK),
        ("W", "IN_AND_OUT_OF_NETWORK", Network.BOTH),
        ("U", None, Network.UNKNOWN),
        ("Q", "BEYOND", Network.UNKNOWN),
        (None, 5, Network.UNKNOWN),
    ],
)
def test_networks_are_read_and_new_ones_tolerated(code: object, word: object, network: Network) -> None:
    assert legacy_row(inPlanNetworkIndicatorCode=code).network is network
    assert current_row(network={"indicator": word}).network is network


@pytest.mark.parametrize(
    ("code", "word", "level"),
    [
        ("IND", "INDIVIDUAL", CoverageLevel.INDIVIDUAL),
        ("FAM", "FAMILY", CoverageLevel.FAMILY),
        ("EMP", "EMPLOYEE_ONLY", CoverageLevel.EMPLOYEE_ONLY),
        ("ESP", "EMPLOYEE_AND_SPOUSE", CoverageLevel.EMPLOYEE_AND_SPOUSE),
        ("ECH", "EMPLOYEE_AND_CHILDREN", CoverageLevel.EMPLOYEE_AND_CHILDREN),
        ("SPO", "SPOUSE_ONLY", CoverageLevel.SPOUSE_ONLY),
        ("SPC", "SPOUSE_AND_CHILDREN", CoverageLevel.SPOUSE_AND_CHILDREN),
        ("CHD", "CHILDREN_ONLY", CoverageLevel.CHILDREN_ONLY),
        ("DEP", "DEPENDENTS_ONLY", CoverageLevel.DEPENDENTS_ONLY),
        (None, None, CoverageLevel.INDIVIDUAL),
        ("PET", "PETS_ONLY", None),
    ],
)
def test_levels_are_read_and_new_ones_tolerated(code: object, word: object, level: CoverageLevel | None) -> None:
    assert legacy_row(coverageLevelCode=code).coverage_level is level
    assert current_row(coverageLevel=word).coverage_level is level


@pytest.mark.parametrize(
    ("code", "word", "period"),
    [
        ("22", "SERVICE_YEAR", TimePeriod.SERVICE_YEAR),
        ("23", "CALENDAR_YEAR", TimePeriod.CALENDAR_YEAR),
        ("24", "YEAR_TO_DATE", TimePeriod.YEAR_TO_DATE),
        ("25", "CONTRACT", TimePeriod.CONTRACT),
        ("26", "EPISODE", TimePeriod.EPISODE),
        ("27", "VISIT", TimePeriod.VISIT),
        ("29", "REMAINING", TimePeriod.REMAINING),
        ("32", "LIFETIME", TimePeriod.LIFETIME),
        ("33", "LIFETIME_REMAINING", TimePeriod.LIFETIME_REMAINING),
        ("34", "MONTH", TimePeriod.MONTH),
        ("35", "WEEK", TimePeriod.WEEK),
        ("36", "ADMISSION", TimePeriod.ADMISSION),
        ("7", "DAY", TimePeriod.DAY),
        ("28", "OUTLIER", TimePeriod.OTHER),
        ("99", "FORTNIGHT", TimePeriod.OTHER),
        (None, None, None),
    ],
)
def test_periods_are_read_and_new_ones_tolerated(code: object, word: object, period: TimePeriod | None) -> None:
    assert legacy_row(timeQualifierCode=code).time_period is period
    assert current_row(timePeriod=word).time_period is period


def test_a_quantity_keeps_its_unit_where_one_is_known() -> None:
    assert legacy_row(benefitQuantity="20", quantityQualifierCode="DY").quantity == "20 DAYS"
    assert legacy_row(benefitQuantity="20", quantityQualifierCode="??").quantity == "20"
    assert legacy_row(quantityQualifierCode="DY").quantity is None
    assert current_row(quantity={"value": "20", "qualifier": "DAYS"}).quantity == "20 DAYS"
    assert current_row(quantity={"value": "20"}).quantity == "20"
    assert current_row(quantity="20").quantity is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("20240101", (date(2024, 1, 1), None)),
        ("2024-01-01", (date(2024, 1, 1), None)),
        ("20240101-20241231", (date(2024, 1, 1), date(2024, 12, 31))),
        ("2024-01-01-2024-12-31", (date(2024, 1, 1), date(2024, 12, 31))),
        ("2024-01-01/2024-12-31", (date(2024, 1, 1), date(2024, 12, 31))),
        ({"start": "2024-01-01"}, (date(2024, 1, 1), None)),
        ({"end": "20241231"}, (None, date(2024, 12, 31))),
        ("20240231", (None, None)),
        ("00000000", (None, None)),
        ("soon", (None, None)),
        ({"start": {"start": 5}}, (None, None)),
        (None, (None, None)),
        (20240101, (date(2024, 1, 1), None)),
    ],
)
def test_days_are_read_in_every_documented_spelling(written: object, read: tuple[date | None, date | None]) -> None:
    assert days(written) == read


@pytest.mark.parametrize(
    ("dates", "begin", "end"),
    [
        ({"planBegin": "20240101", "planEnd": "20241231"}, date(2024, 1, 1), date(2024, 12, 31)),
        ({"plan": "20240101-20241231"}, date(2024, 1, 1), date(2024, 12, 31)),
        ({"plan": "20240101", "eligibility": "20230101-20231231"}, date(2024, 1, 1), date(2023, 12, 31)),
        ({"eligibilityBegin": "20240101"}, date(2024, 1, 1), None),
        ({"planEnd": "20240101-20241231"}, None, date(2024, 12, 31)),
        ("20240101", None, None),
    ],
)
def test_the_older_shape_tells_the_plans_days_in_several_places(
    dates: object, begin: date | None, end: date | None
) -> None:
    found = from_legacy(planDateInformation=dates)
    assert (found.plan_begin, found.plan_end) == (begin, end)


def test_a_dependents_own_days_and_group_go_before_the_subscribers() -> None:
    subscriber = {
        "dates": {"plan": {"start": "2024-01-01", "end": "2024-12-31"}},
        "additionalInformation": {"groupOrPolicyNumber": "S1"},
    }
    dependent = {
        "dates": {"plan": {"start": "2024-06-01"}},
        "additionalInformation": {"group": {"number": "D1"}},
    }
    found = from_current(subscriber=subscriber, dependent=dependent)
    assert (found.group_number, found.plan_begin, found.plan_end) == ("D1", date(2024, 6, 1), date(2024, 12, 31))
    assert from_current(subscriber=subscriber).group_number == "S1"
    assert from_legacy(subscriber={"groupNumber": "S1"}, dependents=[{"groupNumber": "D1"}]).group_number == "D1"
    assert from_legacy(subscriber={"groupNumber": "S1"}).group_number == "S1"


def test_a_plans_name_is_looked_for_beside_the_status_then_at_the_plan() -> None:
    assert from_legacy(planInformation={"planDescription": "Silver"}).plan_name == "Silver"
    assert from_current(plans=[{"name": "Silver", "benefits": {"statuses": [{}, {"status": "INACTIVE"}]}}]).plan_name
    named = {"additionalInformation": {"plan": {"number": "1", "name": "Bronze"}}}
    assert from_current(subscriber=named).plan_name == "Bronze"


def test_rows_are_bounded() -> None:
    rows = [{"code": "D", "benefitAmount": f"{number}"} for number in range(5000)]
    assert len(from_legacy(benefitsInformation=rows).benefits) == 2000


def test_an_error_about_single_benefits_leaves_an_answer_that_told_a_status() -> None:
    error = {"code": "55", "location": "SUBSCRIBER_BENEFITS", "followupAction": "Please Correct and Resubmit"}
    active = [{"benefits": {"statuses": [{"status": "ACTIVE_COVERAGE"}]}}]
    answered = current_shape.read({"plans": active, "errors": [error]})
    assert answered is not None
    assert answered.blocking_errors == ()
    refused = current_shape.read({"plans": [], "errors": [error]})
    assert refused is not None
    assert [found.code for found in refused.blocking_errors] == ["55"]
    whole = legacy_shape.read({"benefitsInformation": [{"code": "1"}], "errors": [{"code": "42"}]})
    assert whole is not None
    assert [found.code for found in whole.blocking_errors] == ["42"]


def test_the_older_shapes_errors_are_found_wherever_they_stand_and_once() -> None:
    error = {"code": "71", "location": "Loop 2100C", "followupAction": "Please Correct and Resubmit"}
    read = legacy_shape.read(
        {
            "errors": [error],
            "subscriber": {"aaaErrors": [error]},
            "dependents": [{"aaaErrors": [{"code": "t4"}]}],
            "payer": {"aaaErrors": [{"description": "no code"}, None]},
        }
    )
    assert read is not None
    assert [(found.code, found.location) for found in read.errors] == [("71", "LOOP 2100C"), ("T4", "")]


@pytest.mark.parametrize("body", [None, 0, "x", [], {}, {"plans": "none", "benefitsInformation": {}, "errors": "none"}])
def test_what_is_no_answer_is_told_apart(body: object) -> None:
    assert legacy_shape.read(body) is None
    assert current_shape.read(body) is None
