"""What a simulated payer found, written as Stedi's answers in both shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Final, TypeVar

from msgspec import Struct

from payer.codes import (
    BENEFIT_GROUPS,
    LEVEL_CODES,
    NETWORK_CODES,
    NETWORK_WORDS,
    PERIOD_WORDS,
    PROCEDURE_SYSTEMS,
    QUANTITY_WORDS,
    STATUS_WORDS,
)
from payer.directory import PayerRecord
from payer.simulator.inquiry import Inquiry, Named
from payer.simulator.people import Finding, Found, Refusal
from payer.simulator.plans import PlanRow
from payer.simulator.x12 import AAA_DESCRIPTIONS, benefit_name, follow_up, service_type

Json = dict[str, object]
_K = TypeVar("_K")
_V = TypeVar("_V")


def _inverted(table: Mapping[_K, _V]) -> Mapping[_V, _K]:
    return {value: key for key, value in table.items()}


_WORD_OF_STATUS: Final = _inverted(STATUS_WORDS)
_GROUP_OF_CODE: Final = _inverted(BENEFIT_GROUPS)
_CODE_OF_LEVEL: Final = _inverted(LEVEL_CODES)
_CODE_OF_NETWORK: Final = _inverted(NETWORK_CODES)
_WORD_OF_NETWORK: Final = _inverted(NETWORK_WORDS)
_CODE_OF_PERIOD: Final = _inverted(PERIOD_WORDS)
_CODE_OF_UNIT: Final = _inverted(QUANTITY_WORDS)
_CODE_OF_SYSTEM: Final = _inverted(PROCEDURE_SYSTEMS)
_LOOPS: Final = {"PAYER": "2100A", "PROVIDER": "2100B", "SUBSCRIBER": "2100C", "DEPENDENT": "2100D"}
_HOLDERS: Final = {"PAYER": "payer", "PROVIDER": "provider", "SUBSCRIBER": "subscriber"}


class Reply(Struct, frozen=True, kw_only=True):
    """One answer, before either shape."""

    id: str
    """"ec_" and a UUID."""
    inquiry: Inquiry
    payer: PayerRecord
    finding: Finding
    plan_begin: date
    test_mode: bool

    @property
    def trace_id(self) -> str:
        return self.id.removeprefix("ec_").replace("-", "").upper()

    @property
    def subscriber(self) -> Named:
        """Whom the payer names as the subscriber."""
        dependent = self.inquiry.dependent
        moved = isinstance(self.finding, Found) and self.finding.patient_in_subscriber
        return dependent if moved and dependent is not None else self.inquiry.subscriber

    @property
    def dependent(self) -> Named | None:
        """Whom the payer names as the dependent."""
        return None if self.subscriber is self.inquiry.dependent else self.inquiry.dependent


Render = Callable[[Reply], Json]


def legacy_answer(reply: Reply) -> Json:
    """The answer in the older shape."""
    body: Json = {
        "meta": {
            "applicationMode": "test" if reply.test_mode else "production",
            "traceId": reply.trace_id,
            "outboundTraceId": reply.trace_id,
        },
        "id": reply.id,
        "status": "COMPLETE",
        "tradingPartnerServiceId": reply.inquiry.payer,
        "payer": {
            "entityIdentifier": "Payer",
            "entityType": "Non-Person Entity",
            "name": reply.payer.name,
            "payorIdentification": reply.payer.id,
        },
        "provider": {},
        "subscriber": {"memberId": reply.inquiry.member_id, **_legacy_person(reply.subscriber)},
        "dependents": [_legacy_person(reply.dependent)] if reply.dependent else [],
        "errors": [],
        "warnings": [],
    }
    if isinstance(reply.finding, Refusal):
        _put_legacy_error(body, reply.finding)
        return body
    plan = reply.finding.plan
    if plan.mbi is not None:
        body["subscriber"] = {**_legacy_person(reply.subscriber), "memberId": plan.mbi}
    begin = reply.plan_begin
    body["planInformation"] = {"groupNumber": plan.group_number, "planDescription": plan.name}
    body["planDateInformation"] = {
        "planBegin": begin.strftime("%Y%m%d"),
        "planEnd": begin.replace(month=12, day=31).strftime("%Y%m%d"),
    }
    body["benefitsInformation"] = [_legacy_row(row, plan.name) for row in plan.rows]
    return body


def legacy_error(refusal: Refusal) -> Json:
    """One AAA error in the older shape."""
    return {
        "code": refusal.code,
        "description": AAA_DESCRIPTIONS[refusal.code],
        "followupAction": follow_up(refusal.code),
        "location": f"Loop {_LOOPS[refusal.location]}",
        "possibleResolutions": "",
    }


def _put_legacy_error(body: Json, refusal: Refusal) -> None:
    error = legacy_error(refusal)
    body["errors"] = [error]
    body["status"] = "ERROR"
    holder = body[_HOLDERS[refusal.location]] if refusal.location in _HOLDERS else None
    if isinstance(holder, dict):
        holder["aaaErrors"] = [error]


def _legacy_person(person: Named) -> Json:
    return {
        "firstName": person.first_name.upper(),
        "lastName": person.last_name.upper(),
        "dateOfBirth": person.date_of_birth.replace("-", ""),
    }


def _legacy_row(row: PlanRow, plan_name: str) -> Json:
    body: Json = {
        "code": row.code,
        "name": benefit_name(row.code),
        "inPlanNetworkIndicatorCode": _CODE_OF_NETWORK[row.network],
        "coverageLevelCode": row.level and _CODE_OF_LEVEL[row.level],
        "timeQualifierCode": row.period and _CODE_OF_PERIOD[row.period],
        "serviceTypeCodes": list(row.services) or None,
        "serviceTypes": [service_type(code) for code in row.services] or None,
        "benefitAmount": row.amount,
        "benefitPercent": row.percent,
        "benefitQuantity": row.quantity,
        "quantityQualifierCode": row.unit and _CODE_OF_UNIT[row.unit],
        "planCoverage": plan_name if row.code in _WORD_OF_STATUS else None,
        "additionalInformation": [{"description": message} for message in row.messages] or None,
    }
    if row.procedure is not None:
        system, code = row.procedure.split()
        body["compositeMedicalProcedureIdentifier"] = {
            "productOrServiceIDQualifierCode": _CODE_OF_SYSTEM[system],
            "procedureCode": code,
        }
    return _without_nothing(body)


def current_answer(reply: Reply) -> Json:
    """The answer in the current shape."""
    subscriber = _current_person(reply.subscriber)
    subscriber["memberId"] = reply.inquiry.member_id
    body: Json = {
        "id": reply.id,
        "payerId": reply.inquiry.payer,
        "meta": {"traceId": reply.trace_id, "outboundTraceId": reply.trace_id},
        "payer": {"type": "PAYER", "name": {"organization": reply.payer.name}, "identification": reply.payer.id},
        "subscriber": subscriber,
    }
    if reply.dependent is not None:
        body["dependent"] = _current_person(reply.dependent)
    if isinstance(reply.finding, Refusal):
        body["errors"] = [current_error(reply.finding)]
        return body
    plan = reply.finding.plan
    subscriber["additionalInformation"] = _without_nothing(
        {"group": {"number": plan.group_number}, "plan": {"number": "1", "name": plan.name}, "mbi": plan.mbi}
    )
    begin = reply.plan_begin
    dates = {"plan": {"start": begin.isoformat(), "end": begin.replace(month=12, day=31).isoformat()}}
    subscriber["dates"] = dates
    body["plans"] = [{"name": plan.name, "benefits": _groups(plan.rows, plan.name)}]
    return body


def current_error(refusal: Refusal) -> Json:
    """One AAA error in the current shape."""
    return {
        "code": refusal.code,
        "description": AAA_DESCRIPTIONS[refusal.code],
        "followupAction": follow_up(refusal.code),
        "location": refusal.location,
    }


def _current_person(person: Named) -> Json:
    name = {"firstName": person.first_name.upper(), "lastName": person.last_name.upper()}
    return _without_nothing({"name": {"person": name}, "dateOfBirth": person.date_of_birth or None})


def _groups(rows: tuple[PlanRow, ...], plan_name: str) -> dict[str, list[Json]]:
    """Rows by what they say, one for each service type."""
    groups: dict[str, list[Json]] = {}
    for row in rows:
        group = groups.setdefault("statuses" if row.code in _WORD_OF_STATUS else _GROUP_OF_CODE[row.code], [])
        for service in _services(row):
            group.append(_current_row(row, service, plan_name))
    return groups


def _services(row: PlanRow) -> list[Json | None]:
    services: list[Json | None] = [
        {"value": code, "definition": service_type(code), "system": "STC"} for code in row.services
    ]
    if row.procedure is not None:
        system, code = row.procedure.split()
        services.append({"value": code, "system": system})
    return services or [None]


def _current_row(row: PlanRow, service: Json | None, plan_name: str) -> Json:
    is_status = row.code in _WORD_OF_STATUS
    return _without_nothing(
        {
            "status": _WORD_OF_STATUS.get(row.code),
            "planCoverageDescription": plan_name if is_status else None,
            "coverageLevel": row.level or "INDIVIDUAL",
            "network": {"indicator": _WORD_OF_NETWORK[row.network]},
            "service": service,
            "timePeriod": row.period,
            "amount": row.amount,
            "percent": row.percent,
            "quantity": {"value": row.quantity, "qualifier": row.unit} if row.quantity else None,
            "messages": list(row.messages) or None,
        }
    )


def _without_nothing(body: Json) -> Json:
    return {key: value for key, value in body.items() if value is not None}
