"""The scheduler, as operators see it."""

from __future__ import annotations

import strawberry

from bus.events import Priority
from scheduler.admission import AdmissionStatus, BreakerState
from schema import enums  # noqa: F401 - makes the enums known


@strawberry.type(description="One priority class.")
class PriorityStatus:
    priority: Priority = strawberry.field(description="The class.")
    waiting: int = strawberry.field(description="Calls that wait for a slot.")
    in_flight: int = strawberry.field(description="Calls that are being made.")


@strawberry.type(description="One tenant.")
class TenantStatus:
    tenant_id: strawberry.ID = strawberry.field(description="The tenant.")
    waiting: int = strawberry.field(description="Calls that wait for a slot.")
    in_flight: int = strawberry.field(description="Calls that are being made.")


@strawberry.type(description="One payer, as its recent calls tell.")
class PayerStatus:
    payer_id: strawberry.ID = strawberry.field(description="The payer, by its canonical id.")
    waiting: int = strawberry.field(description="Calls that wait for a slot.")
    in_flight: int = strawberry.field(description="Calls that are being made.")
    breaker: BreakerState = strawberry.field(description="Whether it is being asked.")
    median_seconds: float | None = strawberry.field(
        description="How long its recent calls took; null where there were none."
    )


@strawberry.type(description="Slots, queue and breakers at this moment.")
class SchedulerStatus:
    slots: int = strawberry.field(description="Calls that may be in flight at once.")
    held: int = strawberry.field(description="Slots taken: by live calls, and by calls not proven over.")
    free: int = strawberry.field(description="Slots to be had.")
    classes: list[PriorityStatus] = strawberry.field(description="By priority, over all tenants.")
    tenants: list[TenantStatus] = strawberry.field(description="By tenant; only the caller's own is told.")
    payers: list[PayerStatus] = strawberry.field(description="By payer, over all tenants.")

    @classmethod
    def of(cls, status: AdmissionStatus) -> SchedulerStatus:
        return cls(
            slots=status.slots,
            held=status.held,
            free=max(0, status.slots - status.held),
            classes=[
                PriorityStatus(priority=row.priority, waiting=row.waiting, in_flight=row.in_flight)
                for row in status.classes
            ],
            tenants=[
                TenantStatus(tenant_id=strawberry.ID(row.tenant_id), waiting=row.waiting, in_flight=row.in_flight)
                for row in status.tenants
            ],
            payers=[
                PayerStatus(
                    payer_id=strawberry.ID(row.payer_id),
                    waiting=row.waiting,
                    in_flight=row.in_flight,
                    breaker=row.breaker,
                    median_seconds=row.median_seconds,
                )
                for row in status.payers
            ],
        )
