"""Who simulated payers know: the people of Stedi's documented mock requests, and everybody else by seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from random import Random
from typing import Final

from msgspec import Struct

from bus.ids import PayerId
from payer.simulator.inquiry import Inquiry, Named
from payer.simulator.plans import Plan, PlanKind, make_plan

_INACTIVE_SHARE: Final = 0.05


class Refusal(Struct, frozen=True, kw_only=True):
    """An AAA error in place of an answer."""

    code: str
    location: str = "SUBSCRIBER"
    """The current shape's word."""


class Found(Struct, frozen=True, kw_only=True):
    """The payer knows the patient."""

    plan: Plan
    patient_in_subscriber: bool = False
    """The payer has the dependent as a member of their own, and answers so."""


Finding = Found | Refusal

_DOWN: Final = Refusal(code="42", location="PAYER")


class MockPerson(Struct, frozen=True, kw_only=True):
    """A row of the documented table. What is empty was not documented, and is not compared."""

    payer_id: str
    member_ids: tuple[str, ...]
    first_name: str = ""
    last_name: str
    date_of_birth: str = ""
    ssn: str = ""
    dependent: Named | None = None
    patient_in_subscriber: bool = False
    answer: PlanKind | Refusal


def _adult(
    payer_id: str,
    name: str,
    date_of_birth: str,
    member_ids: str,
    answer: PlanKind | Refusal = PlanKind.MEDICAL,
) -> MockPerson:
    first_name, last_name = name.split()
    return MockPerson(
        payer_id=payer_id,
        member_ids=tuple(member_ids.split()),
        first_name=first_name,
        last_name=last_name,
        date_of_birth=date_of_birth,
        answer=answer,
    )


def _dependent(
    payer_id: str,
    name: str,
    first_name: str,
    date_of_birth: str,
    member_id: str,
    *,
    patient_in_subscriber: bool = False,
) -> MockPerson:
    subscriber_name, last_name = name.split()
    return MockPerson(
        payer_id=payer_id,
        member_ids=(member_id,),
        first_name=subscriber_name,
        last_name=last_name,
        dependent=Named(first_name=first_name, last_name=last_name, date_of_birth=date_of_birth),
        patient_in_subscriber=patient_in_subscriber,
        answer=PlanKind.MEDICAL,
    )


MOCK_PEOPLE: Final = (
    _adult("60054", "Jane Doe", "2004-04-04", "AETNA12345"),
    _adult("68069", "John Doe", "1994-04-04", "AMBETTER123"),
    _adult("62308", "James Jones", "1991-02-02", "23456789100"),
    _adult("62308", "Rolando Arrojo", "1971-01-02", "5643296"),
    _adult("62308", "Rod Beck", "1972-02-03", "R5TJR4HR4H"),
    _adult("62308", "David Cone", "1973-03-04", "5642296"),
    _adult("62308", "Frank Castillo", "1975-04-05", "FTRJRG3254"),
    _adult("62308", "Casey Fossum", "1976-05-06", "5641296"),
    _adult("62308", "Rich Garces", "1977-06-07", "DHW5445"),
    _adult("61101", "Jane Doe", "1975-05-05", "HUMANA123"),
    _adult("KSRCN", "Jane Doe", "2002-02-02", "KAISER123456"),
    _adult("CMS", "Jane Doe", "1955-05-05", "CMS12345678 1AA2CC3DD45"),
    _adult("87726", "Jane Doe", "1971-01-01", "UHC123456"),
    _adult("87726", "Jane Doe", "1971-01-01", "UHCINACTIVE", PlanKind.INACTIVE),
    _dependent("60054", "John Doe", "Jordan", "2001-07-14", "AETNA9wcSu"),
    _dependent("040", "Jane Doe", "John", "1975-01-01", "CGMBCBSCA123"),
    _dependent("G84980", "John Doe", "Jane", "2015-01-01", "A2CBCBSTX123"),
    _dependent("62308", "John Doe", "Jordan", "2015-09-20", "CIGNAJTUxNm", patient_in_subscriber=True),
    _dependent("OSCAR", "John Doe", "Jane", "2001-01-01", "OSCAR123456"),
    _dependent("87726", "John Doe", "Jane", "1952-11-21", "UHC202649"),
    _adult("AMTAS00425", "Falcon Dent", "1985-06-07", "007007007", PlanKind.LONG_DENTAL),
    _adult("84103", "Aardvark Dent", "1970-12-12", "AFK987654321", PlanKind.DENTAL),
    _adult("62308", "Jaguar Dent", "1996-05-05", "U3141592653", PlanKind.DENTAL),
    _adult("62308", "James Doe", "1901-01-01", "U9876543210", PlanKind.DENTAL),
    _adult("10134", "Elephant Dent", "1984-02-29", "88877788", PlanKind.DENTAL),
    _adult("52133", "Beaver Dent", "1969-06-28", "404404404", PlanKind.DENTAL),
    _adult("87726", "Jane Doe", "2001-01-01", "UHCAAA42", _DOWN),
    _adult("87726", "Jane Doe", "1970-01-01", "UHCAAA43", Refusal(code="43", location="PROVIDER")),
    _adult("87726", "John Doe", "1990-01-01", "UHCAAA72", Refusal(code="72")),
    _adult("87726", "John Doe", "1990-01-01", "UHCAAA73", Refusal(code="73")),
    _adult("87726", "Jane Doe", "1990-01-01", "UHCAAA75", Refusal(code="75")),
    _adult("87726", "John Doe", "1970-01-01", "UHCAAA79", Refusal(code="79", location="PAYER")),
    MockPerson(
        payer_id="MBILU",
        member_ids=(),
        last_name="Doe",
        date_of_birth="1955-05-05",
        ssn="123456789",
        answer=PlanKind.MBI,
    ),
    _adult("STEDI", "Bernie Prohas", "2001-07-14", "23051322", Refusal(code="73")),
)
"""The documented table, row by row."""


def _by_card(people: Iterable[MockPerson]) -> Mapping[tuple[str, str], MockPerson]:
    return {(person.payer_id, card): person for person in people for card in (*person.member_ids, person.ssn) if card}


_BY_CARD: Final = _by_card(MOCK_PEOPLE)


def look_up(payer_id: PayerId, inquiry: Inquiry, seed: int) -> Finding:
    """What the payer answers to the inquiry when it is well.

    A card of the documented table wants exactly its person; everybody else is known, each with their own plan.
    """
    refusal = refusal_of(payer_id, inquiry)
    if refusal is not None:
        return refusal
    randomness = _randomness(payer_id, inquiry, seed)
    person = _person(payer_id, inquiry)
    if person is not None and isinstance(person.answer, PlanKind):
        plan = make_plan(person.answer, inquiry.service_types, inquiry.procedures, randomness)
        return Found(plan=plan, patient_in_subscriber=person.patient_in_subscriber)
    kind = PlanKind.DENTAL if inquiry.service_types == ("35",) else PlanKind.MEDICAL
    if randomness.random() < _INACTIVE_SHARE:
        kind = PlanKind.INACTIVE
    return Found(plan=make_plan(kind, inquiry.service_types, inquiry.procedures, randomness))


def refusal_of(payer_id: PayerId, inquiry: Inquiry) -> Refusal | None:
    """The AAA error with which the payer answers, if it does."""
    person = _person(payer_id, inquiry)
    if person is None:
        return None
    difference = _difference(person, inquiry)
    if difference is not None:
        return difference
    return person.answer if isinstance(person.answer, Refusal) else None


def _person(payer_id: PayerId, inquiry: Inquiry) -> MockPerson | None:
    return _BY_CARD.get((payer_id, inquiry.member_id or inquiry.ssn))


def _randomness(payer_id: PayerId, inquiry: Inquiry, seed: int) -> Random:
    """Depends on the seed, the payer and the person alone."""
    people = [inquiry.subscriber, *([inquiry.dependent] if inquiry.dependent else [])]
    parts = [str(seed), payer_id, inquiry.member_id, inquiry.ssn]
    for person in people:
        parts += [person.first_name.casefold(), person.last_name.casefold(), person.date_of_birth]
    digest = hashlib.sha256("\x1f".join(parts).encode(errors="replace")).digest()
    return Random(int.from_bytes(digest[:8]))  # noqa: S311 -- to be foreseen, not to be secret


def _difference(person: MockPerson, inquiry: Inquiry) -> Refusal | None:
    """How the inquiry differs from the documented person."""
    asked = inquiry.subscriber
    if person.first_name not in ("", asked.first_name) or person.last_name != asked.last_name:
        return Refusal(code="73")
    if person.date_of_birth not in ("", asked.date_of_birth):
        return Refusal(code="71")
    wanted, dependent = person.dependent, inquiry.dependent
    if wanted is None:
        return None if dependent is None else Refusal(code="77")
    if dependent is None:
        return Refusal(code="67")
    if (dependent.first_name, dependent.last_name) != (wanted.first_name, wanted.last_name):
        return Refusal(code="65", location="DEPENDENT")
    return None if dependent.date_of_birth == wanted.date_of_birth else Refusal(code="71", location="DEPENDENT")
