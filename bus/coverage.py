"""What a payer says of a member's coverage, in one form whatever it was asked through."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from msgspec import Struct

from bus.ids import PayerId, RequestId


class CoverageStatus(StrEnum):
    """Whether the person is covered: active on any 271 EB01 code 1-5, else inactive on any of 6-8, else unknown."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    UNKNOWN = "UNKNOWN"


class BenefitKind(StrEnum):
    """What a benefit row says; the 271 EB01 codes that have a meaning for a reader, and OTHER for the rest."""

    ACTIVE_COVERAGE = "ACTIVE_COVERAGE"
    INACTIVE = "INACTIVE"
    COINSURANCE = "COINSURANCE"
    COPAYMENT = "COPAYMENT"
    DEDUCTIBLE = "DEDUCTIBLE"
    OUT_OF_POCKET = "OUT_OF_POCKET"
    LIMITATION = "LIMITATION"
    EXCLUSION = "EXCLUSION"
    NON_COVERED = "NON_COVERED"
    UNLIMITED = "UNLIMITED"
    COST_CONTAINMENT = "COST_CONTAINMENT"
    SPEND_DOWN = "SPEND_DOWN"
    RESERVE = "RESERVE"
    PRIMARY_CARE_PROVIDER = "PRIMARY_CARE_PROVIDER"
    OTHER_PAYER = "OTHER_PAYER"
    DESCRIPTION = "DESCRIPTION"
    OTHER = "OTHER"


class Network(StrEnum):
    """Whether a benefit holds inside the payer's network, outside it, or both."""

    IN_NETWORK = "IN_NETWORK"
    OUT_OF_NETWORK = "OUT_OF_NETWORK"
    BOTH = "BOTH"
    UNKNOWN = "UNKNOWN"


class CoverageLevel(StrEnum):
    """Who a benefit is for (271 EB02)."""

    INDIVIDUAL = "INDIVIDUAL"
    FAMILY = "FAMILY"
    EMPLOYEE_ONLY = "EMPLOYEE_ONLY"
    EMPLOYEE_AND_SPOUSE = "EMPLOYEE_AND_SPOUSE"
    EMPLOYEE_AND_CHILDREN = "EMPLOYEE_AND_CHILDREN"
    SPOUSE_ONLY = "SPOUSE_ONLY"
    SPOUSE_AND_CHILDREN = "SPOUSE_AND_CHILDREN"
    CHILDREN_ONLY = "CHILDREN_ONLY"
    DEPENDENTS_ONLY = "DEPENDENTS_ONLY"


class TimePeriod(StrEnum):
    """What span of time an amount is for (271 EB06)."""

    SERVICE_YEAR = "SERVICE_YEAR"
    CALENDAR_YEAR = "CALENDAR_YEAR"
    YEAR_TO_DATE = "YEAR_TO_DATE"
    CONTRACT = "CONTRACT"
    EPISODE = "EPISODE"
    VISIT = "VISIT"
    REMAINING = "REMAINING"
    LIFETIME = "LIFETIME"
    LIFETIME_REMAINING = "LIFETIME_REMAINING"
    ADMISSION = "ADMISSION"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    OTHER = "OTHER"


class Benefit(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One row of what a plan pays, limits or leaves to the member."""

    kind: BenefitKind
    service_type_codes: tuple[str, ...] = ()
    amount: str | None = None
    """US dollars as the payer wrote them: a decimal number in text, so that no cent is lost to a float."""
    percent: str | None = None
    """The member's share as a fraction in text: "0.2" is 20 %."""
    network: Network = Network.UNKNOWN
    coverage_level: CoverageLevel | None = None
    time_period: TimePeriod | None = None
    quantity: str | None = None
    messages: tuple[str, ...] = ()


class Coverage(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A payer's answer: is this person covered, by which plan, and for what."""

    status: CoverageStatus
    payer_id: PayerId
    obtained_at: datetime
    """When the payer's answer arrived."""
    request_id: RequestId
    """The request whose call brought it."""
    plan_name: str | None = None
    group_number: str | None = None
    plan_begin: date | None = None
    plan_end: date | None = None
    benefits: tuple[Benefit, ...] = ()
