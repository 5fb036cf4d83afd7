"""What simulated payers say of a plan: made from a seed, so that the same person always has the same plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from random import Random
from typing import Final, assert_never

from msgspec import Struct

from bus.coverage import CoverageLevel, Network

_IN: Final = Network.IN_NETWORK
_OUT: Final = Network.OUT_OF_NETWORK
_INDIVIDUAL: Final = CoverageLevel.INDIVIDUAL
_FAMILY: Final = CoverageLevel.FAMILY

_USUAL_SERVICES: Final = ("33", "47", "48", "50", "86", "88", "98", "AL", "MH", "UC")
_DENTAL_SERVICES: Final = {"23": "0", "41": "0", "25": "0.2", "26": "0.2", "39": "0.5", "38": "0.5"}
_HOSPITAL_SERVICES: Final = ("47", "48", "49", "50")
_DENTAL_PROCEDURES: Final = 182  # with the other rows they make the 384 that Ameritas answers with in test mode


class PlanKind(StrEnum):
    """What kind of answer a person gets."""

    MEDICAL = "MEDICAL"
    INACTIVE = "INACTIVE"
    DENTAL = "DENTAL"
    LONG_DENTAL = "LONG_DENTAL"
    """Dental, with a row for each procedure and network."""
    MBI = "MBI"
    """A Medicare beneficiary's identifier was looked up."""


class PlanRow(Struct, frozen=True, kw_only=True):
    """One 271 EB segment, before either shape; periods and units in the current shape's words."""

    code: str
    services: tuple[str, ...] = ()
    procedure: str | None = None
    network: Network = Network.BOTH
    level: CoverageLevel | None = None
    period: str | None = None
    amount: str | None = None
    percent: str | None = None
    quantity: str | None = None
    unit: str | None = None
    messages: tuple[str, ...] = ()


class Plan(Struct, frozen=True, kw_only=True):
    """A plan, and what it says about the services asked for."""

    name: str
    group_number: str
    rows: tuple[PlanRow, ...]
    mbi: str | None = None


def make_plan(kind: PlanKind, services: Sequence[str], procedures: Sequence[str], randomness: Random) -> Plan:
    """A plan of that kind, which says something of each service and procedure asked for."""
    asked = tuple(services) or ("30",)
    metal = randomness.choice(("Bronze", "Silver", "Gold", "Platinum"))
    network = randomness.choice(("PPO", "HMO", "EPO", "POS"))
    group_number = f"{randomness.randrange(10**6, 10**7)}"
    rows: tuple[PlanRow, ...]
    match kind:
        case PlanKind.INACTIVE:
            rows = (PlanRow(code="6", services=asked, messages=("COVERAGE TERMINATED",)),)
        case PlanKind.DENTAL | PlanKind.LONG_DENTAL:
            count = _DENTAL_PROCEDURES if kind is PlanKind.LONG_DENTAL else 0
            rows = tuple(_dental(procedures, count, randomness))
        case PlanKind.MEDICAL | PlanKind.MBI:
            rows = tuple(_medical(asked, procedures, randomness))
        case _:
            assert_never(kind)
    return Plan(
        name=f"{metal} {network} {randomness.randrange(500, 5000, 500)}",
        group_number=group_number,
        rows=rows,
        mbi="1AA2CC3DD45" if kind is PlanKind.MBI else None,
    )


def _medical(asked: Sequence[str], procedures: Sequence[str], randomness: Random) -> Iterator[PlanRow]:
    services = tuple(dict.fromkeys((*asked, *(_USUAL_SERVICES if "30" in asked else ()))))
    yield PlanRow(code="1", services=services, level=_INDIVIDUAL)
    yield PlanRow(code="L", messages=("PRIMARY CARE PROVIDER ON FILE",))
    deductible, out_of_pocket = randomness.randrange(500, 3000, 250), randomness.randrange(3000, 9000, 500)
    for code, total in (("C", deductible), ("G", out_of_pocket)):
        yield from _pair(code, total, _INDIVIDUAL, _IN, randomness)
        yield from _pair(code, 2 * total, _FAMILY, _IN, randomness)
        yield from _pair(code, 3 * total, _INDIVIDUAL, _OUT, randomness)
    share = randomness.choice(("0", "0.1", "0.2", "0.3"))
    for service in services:
        yield from _cost_sharing(service, share, randomness)
    for procedure in procedures:
        yield PlanRow(code="A", procedure=procedure, network=_IN, level=_INDIVIDUAL, percent=share)
    yield PlanRow(code="D", messages=("BENEFITS ARE SUBJECT TO THE TERMS OF THE PLAN",))


def _cost_sharing(service: str, share: str, randomness: Random) -> Iterator[PlanRow]:
    if service == "30":
        return
    if service in _HOSPITAL_SERVICES:
        yield PlanRow(code="A", services=(service,), network=_IN, level=_INDIVIDUAL, period="ADMISSION", percent=share)
        return
    copay = f"{randomness.randrange(10, 80, 5)}"
    yield PlanRow(code="B", services=(service,), network=_IN, level=_INDIVIDUAL, period="VISIT", amount=copay)
    yield PlanRow(code="A", services=(service,), network=_OUT, level=_INDIVIDUAL, percent="0.5")
    if service == "33":
        visits = randomness.randrange(10, 40, 5)
        limit = PlanRow(code="F", services=(service,), period="CALENDAR_YEAR", quantity=f"{visits}", unit="VISITS")
        yield limit
        left = f"{randomness.randrange(visits)}"
        yield PlanRow(code="F", services=(service,), period="REMAINING", quantity=left, unit="VISITS")


def _dental(procedures: Sequence[str], count: int, randomness: Random) -> Iterator[PlanRow]:
    yield PlanRow(code="1", services=("35",), level=_INDIVIDUAL)
    yield from _pair("C", 50, _INDIVIDUAL, _IN, randomness)
    yield from _pair("C", 150, _FAMILY, _IN, randomness)
    yield from _pair("F", randomness.randrange(1000, 2500, 250), _INDIVIDUAL, _IN, randomness)
    yield PlanRow(code="F", services=("38",), level=_INDIVIDUAL, period="LIFETIME", amount="1500")
    for service, share in _DENTAL_SERVICES.items():
        for network in (_IN, _OUT):
            yield PlanRow(code="A", services=(service,), network=network, level=_INDIVIDUAL, percent=share)
    for procedure in (*procedures, *(f"CDT D{100 + number:04}" for number in range(count))):
        for network in (_IN, _OUT):
            yield PlanRow(code="A", procedure=procedure, network=network, level=_INDIVIDUAL, percent="0.2")


def _pair(code: str, total: int, level: CoverageLevel, network: Network, randomness: Random) -> Iterator[PlanRow]:
    """The whole of an amount, and what is left of it this year."""
    service = ("35",) if code == "F" else ("30",)
    remaining = total - randomness.randrange(total + 1)
    for period, amount in (("CALENDAR_YEAR", total), ("REMAINING", remaining)):
        yield PlanRow(code=code, services=service, network=network, level=level, period=period, amount=f"{amount}")
