"""The picture of admission that operators see."""

from __future__ import annotations

from collections import Counter

from bus.events import Priority
from scheduler.admission import AdmissionStatus, ClassStatus, PayerStatus, TenantStatus
from scheduler.payers import Payers
from scheduler.slots import Slots
from scheduler.waiting import Waiting


def picture(slots: Slots, waiting: Waiting, payers: Payers, now: float) -> AdmissionStatus:
    """Everything that waits or is in flight, and every payer remembered; calls not proven over count as in flight."""
    by_tenant = Counter(lease.tenant_id for lease in slots.leases if lease.tenant_id is not None)
    by_payer = Counter(lease.payer_id for lease in slots.leases)
    tenant_ids = sorted(waiting.tenants.keys() | by_tenant.keys())
    payer_ids = sorted(waiting.payers.keys() | by_payer.keys() | set(payers))
    return AdmissionStatus(
        slots=slots.size,
        held=slots.held,
        classes=tuple(
            ClassStatus(priority=priority, waiting=waiting.count(priority), in_flight=slots.held_in(priority))
            for priority in Priority
        ),
        tenants=tuple(
            TenantStatus(
                tenant_id=tenant_id,
                waiting=waiting.tenants.get(tenant_id, Counter()).total(),
                in_flight=by_tenant[tenant_id],
            )
            for tenant_id in tenant_ids
        ),
        payers=tuple(
            PayerStatus(
                payer_id=payer_id,
                waiting=waiting.payers.get(payer_id, Counter()).total(),
                in_flight=by_payer[payer_id],
                breaker=payers[payer_id].breaker.state(now),
                median_seconds=payers[payer_id].answer_times.median(now),
            )
            for payer_id in payer_ids
        ),
    )
