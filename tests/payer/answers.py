"""Answers like the documented ones in both shapes, what they come to, and how single facts are put into one."""

from __future__ import annotations

from datetime import date
from typing import Any

from bus.coverage import Benefit, BenefitKind, Coverage, CoverageLevel, CoverageStatus, Network, TimePeriod
from bus.ids import PayerId
from payer import current_shape, legacy_shape
from payer.statement import Statement, coverage_of
from tests.payer.conftest import NOON, REQUEST


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
