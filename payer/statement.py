"""What an answer says, in one form whichever shape brought it, and the coverage it comes to.

The two shapes differ in more than names: the current one gives a row for each service type and sorts rows by what they
say, the older one gives them as the payer did. Rows are therefore put in the order of their EB01 codes, and rows that
differ in nothing but the service type become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bus.coverage import Benefit, BenefitKind, Coverage, CoverageStatus
from bus.ids import PayerId, RequestId
from payer.codes import ACTIVE_CODES, CODE_ORDER, INACTIVE_CODES, KINDS
from payer.wire import UNKNOWN_DAYS, Days

_MOST_ROWS: Final = 2000  # the longest documented answer has 384


class AaaError(Struct, frozen=True, kw_only=True):
    """One reason why the payer, or Stedi in its place, did not answer (an AAA segment, or a 999's)."""

    code: str
    location: str = ""
    """Where it arose: the current shape's word ("SUBSCRIBER") or the older one's loop ("Loop 2100C")."""
    follow_up: str | None = None

    @property
    def about_benefits(self) -> bool:
        """It concerns single benefits, not the person or the question as a whole."""
        return "BENEFITS" in self.location or "2110" in self.location

    @property
    def about_subscriber(self) -> bool:
        return "SUBSCRIBER" in self.location or self.location.endswith(("2100C", "2110C"))


class BenefitRow(Struct, frozen=True, kw_only=True):
    """One 271 EB segment."""

    code: str
    """EB01; may be one that X12 does not know."""
    benefit: Benefit
    """Without its service types."""
    service_types: tuple[str, ...] = ()
    plan_name: str | None = None


class Statement(Struct, frozen=True, kw_only=True):
    """Everything of an answer that Covey uses."""

    rows: tuple[BenefitRow, ...] = ()
    errors: tuple[AaaError, ...] = ()
    plan_name: str | None = None
    """As told for the whole plan; a row's own goes before it."""
    group_number: str | None = None
    plan_days: Days = UNKNOWN_DAYS

    @property
    def status(self) -> CoverageStatus:
        """Active if any row says so, else inactive if any row does, else unknown."""
        codes = {row.code for row in self.rows}
        if codes.intersection(ACTIVE_CODES):
            return CoverageStatus.ACTIVE
        if codes.intersection(INACTIVE_CODES):
            return CoverageStatus.INACTIVE
        return CoverageStatus.UNKNOWN

    @property
    def blocking_errors(self) -> tuple[AaaError, ...]:
        """The errors that leave no answer: all of them, unless a status was told and only single benefits failed."""
        if self.status is CoverageStatus.UNKNOWN:
            return self.errors
        return tuple(error for error in self.errors if not error.about_benefits)


def benefit_kind(code: str) -> BenefitKind:
    """What a row with this EB01 code says."""
    return KINDS.get(code, BenefitKind.OTHER)


def first_day(*candidates: Days) -> date | None:
    """The first day of the first span that has one."""
    return next((begin for begin, _ in candidates if begin is not None), None)


def last_day(*candidates: Days) -> date | None:
    """The last day of the first span that has one."""
    return next((end for _, end in candidates if end is not None), None)


def coverage_of(statement: Statement, payer_id: PayerId, request_id: RequestId, obtained_at: datetime) -> Coverage:
    """The coverage that a statement without blocking errors comes to."""
    rows = sorted(statement.rows[:_MOST_ROWS], key=lambda row: CODE_ORDER.get(row.code, len(CODE_ORDER)))
    begin, end = statement.plan_days
    return Coverage(
        status=statement.status,
        payer_id=payer_id,
        obtained_at=obtained_at,
        request_id=request_id,
        plan_name=_plan_name(rows) or statement.plan_name,
        group_number=statement.group_number,
        plan_begin=begin,
        plan_end=end,
        benefits=_merged(rows),
    )


def _plan_name(rows: Sequence[BenefitRow]) -> str | None:
    """The plan that the status is of: an active one, if there is one."""
    status_rows = (row for row in rows if row.code in ACTIVE_CODES + INACTIVE_CODES)
    return next((row.plan_name for row in status_rows if row.plan_name), None)


def _merged(rows: Iterable[BenefitRow]) -> tuple[Benefit, ...]:
    service_types: dict[Benefit, set[str]] = {}
    for row in rows:
        service_types.setdefault(row.benefit, set()).update(row.service_types)
    return tuple(replace(benefit, service_type_codes=tuple(sorted(codes))) for benefit, codes in service_types.items())
