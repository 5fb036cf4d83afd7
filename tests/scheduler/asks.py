"""Asks for tests that look at single decisions."""

from __future__ import annotations

from itertools import count

from bus.events import Priority
from bus.ids import PayerId, RequestId, TenantId
from scheduler.admission import Ask, Grant
from scheduler.core import AdmissionCore

_numbers = count(1)


def ask(
    name: str | None = None,
    *,
    tenant: str = "tenant",
    payer: str = "payer",
    question: str | None = None,
    priority: Priority = Priority.INTERACTIVE,
    deadline: float = 1_000.0,
    not_before: float = 0.0,
) -> Ask:
    """An ask for a question of its own, unless it is given."""
    request_id = name or f"request-{next(_numbers)}"
    return Ask(
        request_id=RequestId(request_id),
        tenant_id=TenantId(tenant),
        payer_id=PayerId(payer),
        question_key=question or f"question of {request_id}",
        priority=priority,
        deadline=deadline,
        not_before=not_before,
    )


def granted(core: AdmissionCore, now: float) -> list[Grant]:
    """Everything that is granted now."""
    grants = []
    while (grant := core.grant(now)) is not None:
        grants.append(grant)
    return grants


def names(grants: list[Grant]) -> list[str]:
    """Who waits for each, first in line first."""
    return [grant.waiters[0] for grant in grants]
