"""What a request body asks, whichever shape it has, or what is wrong with it."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from msgspec import Struct

from payer.wire import items, objects, part, text

_LEGACY_DATE: Final = re.compile(r"\d{8}", re.ASCII)
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NPI: Final = re.compile(r"\d{10}", re.ASCII)
_SERVICE_TYPE: Final = re.compile(r"[0-9A-Z]{1,3}", re.ASCII)
_LEGACY_RELATIONSHIPS: Final = ("01", "19", "34")
_RELATIONSHIPS: Final = ("SPOUSE", "CHILD", "OTHER_ADULT")
_SYSTEMS: Final = ("STC", "CPT", "HCPCS", "CDT", "NDC", "ICD-10-PCS")
_LEGACY_SYSTEMS: Final = {"AD": "CDT", "CJ": "CPT", "HC": "HCPCS", "ND": "NDC"}
_LONGEST_NAME: Final = 60
_MEMBER_ID_LENGTHS: Final = range(2, 81)
_PAYER_ID_LENGTHS: Final = range(1, 81)


class Named(Struct, frozen=True, kw_only=True):
    """A person as asked about; what was not given is empty."""

    first_name: str
    last_name: str
    date_of_birth: str
    """ISO."""


class Inquiry(Struct, frozen=True, kw_only=True):
    """A question that can be answered."""

    payer: str
    """As given: any of the payer's ids."""
    member_id: str
    subscriber: Named
    ssn: str
    dependent: Named | None
    service_types: tuple[str, ...]
    procedures: tuple[str, ...]
    """With their code system: "CDT D4341"."""


class Problem(Struct, frozen=True):
    """One thing that is wrong with a request body."""

    path: str
    """A JSON pointer."""
    message: str


class Malformed(Exception):
    """The body is no inquiry."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("The request is not valid.")
        self.problems = problems


class _Reader:
    """Reads parts of one body, and remembers what was wrong with them."""

    def __init__(self, body: object, date_format: re.Pattern[str]) -> None:
        if not isinstance(body, dict):
            raise Malformed(Problem("", "The body has to be a JSON object."))
        self.body = body
        self._date_format = date_format
        self.problems: list[Problem] = []

    def require(self, right: bool, path: str, message: str) -> None:
        if not right:
            self.problems.append(Problem(path, message))

    def text(self, pointer: str, lengths: range, required: bool = False) -> str:
        value: object = self.body
        for key in pointer.split("/")[1:]:
            value = value[int(key)] if isinstance(value, list) and key == "0" and value else part(value, key)
        if value is None:
            self.require(not required, pointer, "This is required.")
            return ""
        right = isinstance(value, str) and len(value.strip()) in lengths
        self.require(right, pointer, "This has to be text of an allowed length.")
        return str(value).strip() if right else ""

    def name(self, pointer: str, required: bool = False) -> str:
        return self.text(pointer, range(1, _LONGEST_NAME + 1), required)

    def date(self, pointer: str) -> str:
        written = self.text(pointer, range(1, 81))
        if not written:
            return ""
        try:
            right = self._date_format.fullmatch(written) is not None
            return date.fromisoformat(written).isoformat() if right else self._wrong_date(pointer)
        except ValueError:
            return self._wrong_date(pointer)

    def _wrong_date(self, pointer: str) -> str:
        self.require(False, pointer, "This is not a date as the API writes them.")
        return ""

    def named(self, pointer: str, names: str, required: bool = False) -> Named:
        return Named(
            first_name=self.name(f"{names}/firstName", required),
            last_name=self.name(f"{names}/lastName", required),
            date_of_birth=self.date(f"{pointer}/dateOfBirth"),
        )

    def npi(self) -> None:
        npi = self.text("/provider/npi", range(1, 81))
        right = _NPI.fullmatch(npi) is not None and _luhn_valid(f"80840{npi}")
        self.require(right, "/provider/npi", "This has to be a National Provider Identifier.")

    def identified(self, member_id: str, subscriber: Named, ssn: str) -> None:
        known = member_id or subscriber.date_of_birth or subscriber.last_name or ssn
        self.require(bool(known), "/subscriber", "At least a member ID, date of birth or last name is required.")

    def finish(self, inquiry: Inquiry) -> Inquiry:
        if self.problems:
            raise Malformed(*self.problems)
        return inquiry


def legacy_inquiry(body: object) -> Inquiry:
    """Read the older shape. Raises Malformed."""
    reader = _Reader(body, _LEGACY_DATE)
    if not reader.name("/provider/organizationName"):
        reader.name("/provider/lastName", required=True)
    reader.npi()
    dependents = items(part(body, "dependents"))
    reader.require(len(dependents) <= 1, "/dependents", "One dependent at most.")
    dependent = None
    if dependents:
        dependent = reader.named("/dependents/0", "/dependents/0", required=True)
        code = text(part(dependents[0], "individualRelationshipCode"))
        place = "/dependents/0/individualRelationshipCode"
        reader.require(code is None or code in _LEGACY_RELATIONSHIPS, place, "Not a relationship code.")
    reader.date("/encounter/dateOfService")
    inquiry = Inquiry(
        payer=reader.text("/tradingPartnerServiceId", _PAYER_ID_LENGTHS, required=True),
        member_id=reader.text("/subscriber/memberId", _MEMBER_ID_LENGTHS),
        subscriber=reader.named("/subscriber", "/subscriber"),
        ssn=reader.text("/subscriber/ssn", range(9, 10)),
        dependent=dependent,
        service_types=_legacy_service_types(reader, part(body, "encounter", "serviceTypeCodes")),
        procedures=_legacy_procedures(part(body, "encounter")),
    )
    reader.identified(inquiry.member_id, inquiry.subscriber, inquiry.ssn)
    return reader.finish(inquiry)


def _legacy_service_types(reader: _Reader, codes: object) -> tuple[str, ...]:
    right = codes is None or (isinstance(codes, list) and all(_is_service_type(code) for code in codes))
    reader.require(right, "/encounter/serviceTypeCodes", "This has to be a list of service type codes.")
    return tuple(str(code) for code in items(codes)) if right else ()


def _legacy_procedures(encounter: object) -> tuple[str, ...]:
    system = _LEGACY_SYSTEMS.get(text(part(encounter, "productOrServiceIDQualifier")) or "")
    code = text(part(encounter, "procedureCode"))
    return (f"{system} {code}",) if system and code else ()


def current_inquiry(body: object) -> Inquiry:
    """Read the current shape. Raises Malformed."""
    reader = _Reader(body, _ISO_DATE)
    if not reader.name("/provider/name/organization"):
        reader.name("/provider/name/person/lastName", required=True)
    reader.npi()
    dependent = None
    if part(body, "dependent") is not None:
        dependent = reader.named("/dependent", "/dependent/name/person", required=True)
        word = text(part(body, "dependent", "relationToSubscriber"))
        place = "/dependent/relationToSubscriber"
        reader.require(word is None or word in _RELATIONSHIPS, place, "Not a relationship.")
    reader.date("/encounter/dates/service/start")
    reader.date("/encounter/dates/service/end")
    services = _services(reader, part(body, "encounter", "services"))
    inquiry = Inquiry(
        payer=reader.text("/payerId", _PAYER_ID_LENGTHS, required=True),
        member_id=reader.text("/subscriber/memberId", _MEMBER_ID_LENGTHS),
        subscriber=reader.named("/subscriber", "/subscriber/name/person"),
        ssn=reader.text("/subscriber/additionalInformation/ssn", range(9, 10)),
        dependent=dependent,
        service_types=tuple(value for value, system in services if system == "STC"),
        procedures=tuple(f"{system} {value}" for value, system in services if system != "STC"),
    )
    reader.identified(inquiry.member_id, inquiry.subscriber, inquiry.ssn)
    return reader.finish(inquiry)


def _services(reader: _Reader, services: object) -> list[tuple[str, str]]:
    reader.require(services is None or isinstance(services, list), "/encounter/services", "This has to be a list.")
    found = []
    for place, service in enumerate(objects(services)):
        value, system = text(part(service, "value")) or "", text(part(service, "system")) or ""
        right = system in _SYSTEMS and (bool(value) if system != "STC" else _is_service_type(value))
        reader.require(right, f"/encounter/services/{place}", "This has to be a code of a known system.")
        found.append((value, system))
    return found


def _is_service_type(code: object) -> bool:
    return isinstance(code, str) and _SERVICE_TYPE.fullmatch(code) is not None


def _luhn_valid(digits: str) -> bool:
    """The check digit of NPIs (ISO/IEC 7812-1), with the prefix 80840 before the number."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0
