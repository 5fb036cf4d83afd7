"""Stedi's current JSON shape (2026-06-01): how a question is written in it, and how its answers are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from bus.coverage import Benefit, CoverageLevel, Network, TimePeriod
from bus.question import Provider, Question
from payer.codes import BENEFIT_GROUPS, NETWORK_WORDS, PERIODS, STATUS_WORDS
from payer.statement import AaaError, BenefitRow, Statement, benefit_kind, first_day, last_day
from payer.wire import Days, days, decimal, items, objects, part, text, texts

PATH: Final = "/2026-06-01/eligibility-check"

_LEVELS: Final[Mapping[str, CoverageLevel]] = {level.value: level for level in CoverageLevel}
_SERVICE_TYPE: Final = "STC"


def inquiry(question: Question) -> dict[str, object]:
    """The body that asks the question."""
    subscriber = question.subscriber
    body: dict[str, object] = {
        "payerId": question.payer_id,
        "provider": {"name": _provider_name(question.provider), "npi": question.provider.npi},
        "subscriber": {
            "name": _person_name(subscriber.first_name, subscriber.last_name),
            "memberId": subscriber.member_id,
            "dateOfBirth": subscriber.date_of_birth.isoformat(),
        },
        "encounter": {
            "services": [{"value": code, "system": _SERVICE_TYPE} for code in question.service_type_codes],
            "dates": {"service": {"start": question.date_of_service.isoformat()}},
        },
    }
    if (dependent := question.dependent) is not None:
        body["dependent"] = {
            "name": _person_name(dependent.first_name, dependent.last_name),
            "relationToSubscriber": dependent.relationship.value,
            "dateOfBirth": dependent.date_of_birth.isoformat(),
        }
    return body


def _provider_name(provider: Provider) -> dict[str, object]:
    if provider.organization_name is not None:
        return {"organization": provider.organization_name}
    return _person_name(provider.first_name or "", provider.last_name or "")


def _person_name(first_name: str, last_name: str) -> dict[str, object]:
    return {"person": {"firstName": first_name, "lastName": last_name}}


def read(body: object) -> Statement | None:
    """What the answer says; None where it is no answer at all."""
    errors = tuple(_errors(body))
    plans = part(body, "plans")
    if not errors and not isinstance(plans, list):
        return None
    people = (part(body, "dependent"), part(body, "subscriber"))
    return Statement(
        rows=tuple(row for plan in items(plans) for row in _rows(plan)),
        errors=errors,
        plan_name=_first_text(*(part(person, "additionalInformation", "plan", "name") for person in people)),
        group_number=_group_number(*people),
        plan_days=_plan_days(*people),
    )


def _errors(body: object) -> Iterator[AaaError]:
    for error in items(part(body, "errors")):
        code = text(part(error, "code"))
        if code is not None:
            yield AaaError(
                code=code.upper(),
                location=(text(part(error, "location")) or "").upper(),
                follow_up=text(part(error, "followupAction")),
            )


def _group_number(*people: object) -> str | None:
    known = [part(person, "additionalInformation") for person in people]
    return _first_text(
        *(part(information, "group", "number") for information in known),
        *(part(information, "groupOrPolicyNumber") for information in known),
    )


def _plan_days(*people: object) -> Days:
    spans = [days(part(person, "dates", name)) for name in ("plan", "eligibility") for person in people]
    return first_day(*spans), last_day(*spans)


def _rows(plan: object) -> Iterator[BenefitRow]:
    benefits = part(plan, "benefits")
    plan_name = text(part(plan, "name"))
    for row in objects(part(benefits, "statuses")):
        yield _row(STATUS_WORDS.get(text(part(row, "status")) or "", ""), row, plan_name)
    for group, code in BENEFIT_GROUPS.items():
        for row in objects(part(benefits, group)):
            yield _row(code, row, plan_name)


def _row(code: str, row: object, plan_name: str | None) -> BenefitRow:
    service = part(row, "service")
    system, value = text(part(service, "system")), text(part(service, "value"))
    is_service_type = value is not None and system in (None, _SERVICE_TYPE)
    procedure = (f"{system} {value}",) if value is not None and not is_service_type else ()
    return BenefitRow(
        code=code,
        service_types=(value,) if value is not None and is_service_type else (),
        plan_name=text(part(row, "planCoverageDescription")) or plan_name,
        benefit=Benefit(
            kind=benefit_kind(code),
            amount=decimal(part(row, "amount")),
            percent=decimal(part(row, "percent")),
            network=NETWORK_WORDS.get(text(part(row, "network", "indicator")) or "", Network.UNKNOWN),
            coverage_level=_level(text(part(row, "coverageLevel"))),
            time_period=_period(text(part(row, "timePeriod"))),
            quantity=_quantity(part(row, "quantity")),
            messages=procedure + texts(part(row, "messages")),
        ),
    )


def _level(word: str | None) -> CoverageLevel | None:
    """Individual where none is told, as Stedi documents it."""
    return CoverageLevel.INDIVIDUAL if word is None else _LEVELS.get(word)


def _period(word: str | None) -> TimePeriod | None:
    return None if word is None else PERIODS.get(word, TimePeriod.OTHER)


def _quantity(quantity: object) -> str | None:
    value, unit = decimal(part(quantity, "value")), text(part(quantity, "qualifier"))
    return f"{value} {unit}" if value and unit else value


def _first_text(*values: object) -> str | None:
    return next((found for value in values if (found := text(value)) is not None), None)
