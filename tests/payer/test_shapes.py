"""Both shapes: what is sent, and what answers like the documented ones come to."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.coverage import Benefit, BenefitKind, Coverage, CoverageLevel, CoverageStatus, Network, TimePeriod
from bus.ids import PayerId
from bus.question import Provider
from payer import current_shape, legacy_shape
from payer.codes import BENEFIT_GROUPS, KINDS, STATUS_WORDS
from payer.statement import Statement, coverage_of
from payer.wire import days, decimal, text
from tests.payer.conftest import JORDAN, NOON, REQUEST, question


def covered(statement: Statement | None) -> Coverage:
    assert statement is not None
    return coverage_of(statement, PayerId("60054"), REQUEST, NOON)


def from_legacy(**body: Any) -> Coverage:
    return covered(legacy_shape.read({"benefitsInformation": [], **body}))


def from_current(**body: Any) -> Coverage:
    return covered(current_shape.read({"plans": [], **body}))


def legacy_row(**row: Any) -> Benefit:
    (benefit,) = from_legacy(benefitsInformation=[{"code": "B", **row}]).benefits
    return benefit


def current_row(group: str = "coPayment", **row: Any) -> Benefit:
    (benefit,) = from_current(plans=[{"benefits": {group: [row]}}]).benefits
    return benefit


# What is sent.


def test_the_older_shape_is_written_as_documented() -> None:
    assert legacy_shape.inquiry(question(dependent=JORDAN, service_types=("30", "98"))) == {
        "tradingPartnerServiceId": "SIMOK",
        "provider": {"npi": "1999999984", "organizationName": "Provider Name"},
        "subscriber": {"memberId": "CARD1", "firstName": "Jane", "lastName": "Doe", "dateOfBirth": "20000101"},
        "dependents": [
            {"firstName": "Jordan", "lastName": "Doe", "dateOfBirth": "20010714", "individualRelationshipCode": "19"}
        ],
        "encounter": {"serviceTypeCodes": ["30", "98"], "dateOfService": "20261123"},
    }


def test_the_current_shape_is_written_as_documented() -> None:
    assert current_shape.inquiry(question(dependent=JORDAN, service_types=("30", "98"))) == {
        "payerId": "SIMOK",
        "provider": {"npi": "1999999984", "name": {"organization": "Provider Name"}},
        "subscriber": {
            "memberId": "CARD1",
            "name": {"person": {"firstName": "Jane", "lastName": "Doe"}},
            "dateOfBirth": "2000-01-01",
        },
        "dependent": {
            "name": {"person": {"firstName": "Jordan", "lastName": "Doe"}},
            "relationToSubscriber": "CHILD",
            "dateOfBirth": "2001-07-14",
        },
        "encounter": {
            "services": [{"value": "30", "system": "STC"}, {"value": "98", "system": "STC"}],
            "dates": {"service": {"start": "2026-11-23"}},
        },
    }


def test_a_provider_may_be_a_person() -> None:
    asked = replace(question(), provider=Provider(npi="1999999984", first_name="Ann", last_name="Lee"))
    assert legacy_shape.inquiry(asked)["provider"] == {"npi": "1999999984", "firstName": "Ann", "lastName": "Lee"}
    assert current_shape.inquiry(asked)["provider"] == {
        "npi": "1999999984",
        "name": {"person": {"firstName": "Ann", "lastName": "Lee"}},
    }


# Whole answers.

LEGACY_ANSWER = {
    "id": "ec_1",
    "meta": {"applicationMode": "test"},
    "payer": {"name": "HUMANA"},
    "subscriber": {"memberId": "HUMANA123", "firstName": "JANE", "dateOfBirth": "19750505"},
    "planInformation": {"groupNumber": "11223344", "planDescription": "ANOTHER NAME"},
    "planDateInformation": {"planBegin": "20240101", "planEnd": "20241231"},
    "benefitsInformation": [
        {
            "code": "G",
            "serviceTypeCodes": ["30"],
            "coverageLevelCode": "FAM",
            "timeQualifierCode": "29",
            "benefitAmount": "8000.50",
            "inPlanNetworkIndicatorCode": "Y",
        },
        {
            "code": "1",
            "serviceTypeCodes": ["98", "30"],
            "coverageLevelCode": "EMP",
            "inPlanNetworkIndicatorCode": "W",
            "planCoverage": "Gold Plan",
            "additionalInformation": [{"description": "Medicare PPO"}, {"description": "000 111"}],
        },
        {
            "code": "F",
            "serviceTypeCodes": ["33"],
            "timeQualifierCode": "23",
            "benefitQuantity": "26",
            "quantityQualifierCode": "VS",
        },
        {"code": "A", "serviceTypeCodes": ["48"], "benefitPercent": "0.2", "inPlanNetworkIndicatorCode": "N"},
        {
            "code": "A",
            "benefitPercent": "0.5",
            "compositeMedicalProcedureIdentifier": {"productOrServiceIDQualifierCode": "AD", "procedureCode": "D4341"},
        },
    ],
    "errors": [],
}

CURRENT_ANSWER = {
    "id": "ec_1",
    "payerId": "61101",
    "payer": {"type": "PAYER"},
    "subscriber": {
        "memberId": "HUMANA123",
        "dates": {"plan": {"start": "2024-01-01", "end": "2024-12-31"}, "service": {"start": "2024-09-17"}},
        "additionalInformation": {"group": {"number": "11223344"}, "plan": {"number": "7", "name": "ANOTHER NAME"}},
    },
    "plans": [
        {
            "benefits": {
                "statuses": [
                    {
                        "status": "ACTIVE_COVERAGE",
                        "coverageLevel": "EMPLOYEE_ONLY",
                        "network": {"indicator": "IN_AND_OUT_OF_NETWORK"},
                        "service": {"value": code, "definition": "words", "system": "STC"},
                        "planCoverageDescription": "Gold Plan",
                        "messages": ["Medicare PPO", "000 111"],
                    }
                    for code in ("30", "98")
                ],
                "coInsurance": [
                    {
                        "percent": "0.2",
                        "coverageLevel": "INDIVIDUAL",
                        "network": {"indicator": "OUT_OF_NETWORK"},
                        "service": {"value": "48", "system": "STC"},
                    },
                    {"percent": "0.5", "service": {"value": "D4341", "system": "CDT"}},
                ],
                "limitations": [
                    {
                        "service": {"value": "33", "system": "STC"},
                        "timePeriod": "CALENDAR_YEAR",
                        "quantity": {"value": "26", "qualifier": "VISITS"},
                    }
                ],
                "outOfPocket": [
                    {
                        "amount": "8000.50",
                        "coverageLevel": "FAMILY",
                        "network": {"indicator": "IN_NETWORK"},
                        "service": {"value": "30", "system": "STC"},
                        "timePeriod": "REMAINING",
                    }
                ],
            }
        }
    ],
}

EXPECTED = Coverage(
    status=CoverageStatus.ACTIVE,
    payer_id=PayerId("60054"),
    obtained_at=NOON,
    request_id=REQUEST,
    plan_name="Gold Plan",
    group_number="11223344",
    plan_begin=date(2024, 1, 1),
    plan_end=date(2024, 12, 31),
    benefits=(
        Benefit(
            kind=BenefitKind.ACTIVE_COVERAGE,
            service_type_codes=("30", "98"),
            network=Network.BOTH,
            coverage_level=CoverageLevel.EMPLOYEE_ONLY,
            messages=("Medicare PPO", "000 111"),
        ),
        Benefit(
            kind=BenefitKind.COINSURANCE,
            service_type_codes=("48",),
            percent="0.2",
            network=Network.OUT_OF_NETWORK,
            coverage_level=CoverageLevel.INDIVIDUAL,
        ),
        Benefit(
            kind=BenefitKind.COINSURANCE,
            percent="0.5",
            coverage_level=CoverageLevel.INDIVIDUAL,
            messages=("CDT D4341",),
        ),
        Benefit(
            kind=BenefitKind.LIMITATION,
            service_type_codes=("33",),
            coverage_level=CoverageLevel.INDIVIDUAL,
            time_period=TimePeriod.CALENDAR_YEAR,
            quantity="26 VISITS",
        ),
        Benefit(
            kind=BenefitKind.OUT_OF_POCKET,
            service_type_codes=("30",),
            amount="8000.50",
            network=Network.IN_NETWORK,
            coverage_level=CoverageLevel.FAMILY,
            time_period=TimePeriod.REMAINING,
        ),
    ),
)


def test_an_answer_in_the_older_shape_is_read_whole() -> None:
    assert covered(legacy_shape.read(LEGACY_ANSWER)) == EXPECTED


def test_an_answer_in_the_current_shape_is_read_whole_and_comes_to_the_same() -> None:
    assert covered(current_shape.read(CURRENT_ANSWER)) == EXPECTED


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        *(((code,), CoverageStatus.ACTIVE) for code in "12345"),
        *(((code,), CoverageStatus.INACTIVE) for code in "678"),
        (("6", "3"), CoverageStatus.ACTIVE),
        (("B", "8"), CoverageStatus.INACTIVE),
        (("B", "??"), CoverageStatus.UNKNOWN),
        ((), CoverageStatus.UNKNOWN),
    ],
)
def test_the_status_is_active_if_any_row_is_else_inactive_if_any_row_is(
    codes: tuple[str, ...], status: CoverageStatus
) -> None:
    words = {code: word for word, code in STATUS_WORDS.items()}
    statuses = [{"status": words.get(code, "SOMETHING_NEW")} for code in codes]
    assert from_legacy(benefitsInformation=[{"code": code} for code in codes]).status is status
    assert from_current(plans=[{"benefits": {"statuses": statuses}}]).status is status


@pytest.mark.parametrize(("group", "code"), BENEFIT_GROUPS.items())
def test_every_group_of_the_current_shape_is_its_code_of_the_older(group: str, code: str) -> None:
    kind = KINDS.get(code, BenefitKind.OTHER)
    assert current_row(group).kind is kind
    assert legacy_row(code=code).kind is kind


# Single facts.


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


# Whatever comes.

_THOROUGH = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


def _mutated(template: object) -> st.SearchStrategy[object]:
    """The template with any part left out or replaced by anything."""
    if isinstance(template, dict):
        fields = {key: _mutated(value) for key, value in template.items()}
        return st.one_of(st.fixed_dictionaries({}, optional=fields), st.fixed_dictionaries(fields), _json)
    if isinstance(template, list):
        return st.lists(st.one_of([_mutated(item) for item in template]), max_size=4) if template else _json
    return st.just(template) | _json


@_THOROUGH
@given(_mutated(LEGACY_ANSWER))
def test_no_json_in_the_older_shape_raises(body: object) -> None:
    statement = legacy_shape.read(body)
    assert statement is None or covered(statement)


@_THOROUGH
@given(_mutated(CURRENT_ANSWER))
def test_no_json_in_the_current_shape_raises(body: object) -> None:
    statement = current_shape.read(body)
    assert statement is None or covered(statement)


@_THOROUGH
@given(_json)
def test_no_value_raises(value: object) -> None:
    days(value)
    assert (decimal(value) is None) or text(value) is not None
