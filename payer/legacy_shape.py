"""Stedi's older JSON shape (2024-04-01): how a question is written in it, and how its answers are read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from bus.coverage import Benefit, CoverageLevel, Network, TimePeriod
from bus.question import Dependent, Person, Provider, Question, Relationship
from payer.codes import LEVEL_CODES, NETWORK_CODES, PERIOD_WORDS, PERIODS, PROCEDURE_SYSTEMS, QUANTITY_WORDS
from payer.statement import AaaError, BenefitRow, Statement, benefit_kind, first_day, last_day
from payer.wire import Days, days, decimal, items, objects, part, text, texts

PATH: Final = "/2024-04-01/change/medicalnetwork/eligibility/v3"

_RELATIONSHIP_CODES: Final[Mapping[Relationship, str]] = {
    Relationship.SPOUSE: "01",
    Relationship.CHILD: "19",
    Relationship.OTHER_ADULT: "34",
}
_ERROR_HOLDERS: Final = ("payer", "provider", "subscriber")


def inquiry(question: Question) -> dict[str, object]:
    """The body that asks the question."""
    body: dict[str, object] = {
        "tradingPartnerServiceId": question.payer_id,
        "provider": _provider(question.provider),
        "subscriber": {"memberId": question.subscriber.member_id, **_person(question.subscriber)},
        "encounter": {
            "serviceTypeCodes": list(question.service_type_codes),
            "dateOfService": _compact(question.date_of_service),
        },
    }
    if question.dependent is not None:
        relationship = _RELATIONSHIP_CODES[question.dependent.relationship]
        body["dependents"] = [{**_person(question.dependent), "individualRelationshipCode": relationship}]
    return body


def _provider(provider: Provider) -> dict[str, str]:
    if provider.organization_name is not None:
        return {"npi": provider.npi, "organizationName": provider.organization_name}
    return {"npi": provider.npi, "firstName": provider.first_name or "", "lastName": provider.last_name or ""}


def _person(person: Person | Dependent) -> dict[str, str]:
    return {
        "firstName": person.first_name,
        "lastName": person.last_name,
        "dateOfBirth": _compact(person.date_of_birth),
    }


def _compact(day: date) -> str:
    return day.strftime("%Y%m%d")


def read(body: object) -> Statement | None:
    """What the answer says; None where it is no answer at all."""
    errors = _errors(body)
    rows = part(body, "benefitsInformation")
    if not errors and not isinstance(rows, list):
        return None
    return Statement(
        rows=tuple(_row(row) for row in objects(rows)),
        errors=errors,
        plan_name=text(part(body, "planInformation", "planDescription")),
        group_number=_group_number(body),
        plan_days=_plan_days(part(body, "planDateInformation")),
    )


def _errors(body: object) -> tuple[AaaError, ...]:
    """Those of the top level, where all are said to be repeated, and those of each part, lest one was not."""
    holders = [part(body, holder) for holder in _ERROR_HOLDERS] + [*items(part(body, "dependents"))]
    found = [*items(part(body, "errors")), *(error for holder in holders for error in items(part(holder, "aaaErrors")))]
    read_errors = (
        AaaError(
            code=code.upper(),
            location=(text(part(error, "location")) or "").upper(),
            follow_up=text(part(error, "followupAction")),
        )
        for error in found
        if (code := text(part(error, "code"))) is not None
    )
    return tuple(dict.fromkeys(read_errors))


def _group_number(body: object) -> str | None:
    dependent = next(iter(items(part(body, "dependents"))), None)
    holders = (part(body, "planInformation"), dependent, part(body, "subscriber"))
    return next((found for holder in holders if (found := text(part(holder, "groupNumber")))), None)


def _plan_days(dates: object) -> Days:
    plan, eligibility = days(part(dates, "plan")), days(part(dates, "eligibility"))
    begins = (days(part(dates, "planBegin")), plan, days(part(dates, "eligibilityBegin")), eligibility)
    ends = (_until(part(dates, "planEnd")), plan, _until(part(dates, "eligibilityEnd")), eligibility)
    return first_day(*begins), last_day(*ends)


def _until(value: object) -> Days:
    begin, end = days(value)
    return None, end or begin


def _row(row: object) -> BenefitRow:
    code = text(part(row, "code")) or ""
    return BenefitRow(
        code=code,
        service_types=texts(part(row, "serviceTypeCodes")),
        plan_name=text(part(row, "planCoverage")),
        benefit=Benefit(
            kind=benefit_kind(code),
            amount=decimal(part(row, "benefitAmount")),
            percent=decimal(part(row, "benefitPercent")),
            network=NETWORK_CODES.get(text(part(row, "inPlanNetworkIndicatorCode")) or "", Network.UNKNOWN),
            coverage_level=_level(text(part(row, "coverageLevelCode"))),
            time_period=_period(text(part(row, "timeQualifierCode"))),
            quantity=_quantity(row),
            messages=_procedure(row) + _messages(row),
        ),
    )


def _level(code: str | None) -> CoverageLevel | None:
    """Individual where none is told: what Stedi's own current shape makes of it."""
    return CoverageLevel.INDIVIDUAL if code is None else LEVEL_CODES.get(code)


def _period(code: str | None) -> TimePeriod | None:
    return None if code is None else PERIODS.get(PERIOD_WORDS.get(code, ""), TimePeriod.OTHER)


def _quantity(row: object) -> str | None:
    quantity = decimal(part(row, "benefitQuantity"))
    unit = QUANTITY_WORDS.get(text(part(row, "quantityQualifierCode")) or "")
    return f"{quantity} {unit}" if quantity and unit else quantity


def _procedure(row: object) -> tuple[str, ...]:
    procedure = part(row, "compositeMedicalProcedureIdentifier")
    code = text(part(procedure, "procedureCode"))
    system = PROCEDURE_SYSTEMS.get(text(part(procedure, "productOrServiceIDQualifierCode")) or "")
    return (f"{system} {code}",) if system and code else ()


def _messages(row: object) -> tuple[str, ...]:
    found = (text(part(line, "description")) for line in items(part(row, "additionalInformation")))
    return tuple(message for message in found if message is not None)
