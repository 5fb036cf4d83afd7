"""Both shapes: what is sent, what whole answers come to, and that nothing that comes raises."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.coverage import BenefitKind, CoverageStatus
from bus.question import Provider
from payer import current_shape, legacy_shape
from payer.codes import BENEFIT_GROUPS, KINDS, STATUS_WORDS
from payer.wire import days, decimal, text
from tests.payer.answers import (
    CURRENT_ANSWER,
    EXPECTED,
    LEGACY_ANSWER,
    covered,
    current_row,
    from_current,
    from_legacy,
    legacy_row,
)
from tests.payer.conftest import JORDAN, question

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
