"""Answers for the warming room's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bus.coverage import Benefit, BenefitKind, Coverage, CoverageStatus
from bus.ids import PayerId, RequestId, TenantId

ACME = TenantId("acme")
GLOBEX = TenantId("globex")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def answer(seconds: float = 0, request: str = "r") -> Coverage:
    """The answer of a call that ended so many seconds after noon; `request` tells two of one moment apart."""
    return Coverage(
        status=CoverageStatus.ACTIVE,
        payer_id=PayerId("60054"),
        obtained_at=NOON + timedelta(seconds=seconds),
        request_id=RequestId(request),
        plan_name="Open Choice",
        benefits=(Benefit(kind=BenefitKind.COPAYMENT, service_type_codes=("30",), amount="20"),),
    )
