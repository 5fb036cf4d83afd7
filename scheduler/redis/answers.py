"""What the admission script answers, as it comes over the wire: arrays, every time in seconds from now."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from bus.events import Priority
from bus.ids import CallId, PayerId, RequestId, TenantId
from scheduler.admission import (
    AdmissionStatus,
    BreakerState,
    ClassStatus,
    PayerStatus,
    QueuePlace,
    TenantStatus,
)

_CLASSES: Final = tuple(Priority)
"""By rank."""


class Offered(Struct, frozen=True):
    """A call that is joined, or else a place."""

    joined: tuple[CallId, float] | None = None
    place: tuple[int, float | None] = (1, None)


class Granted(Struct, frozen=True, array_like=True):
    """A grant, with what is needed to tell it to a server that forgot it."""

    call_id: CallId
    payer_id: PayerId
    tenant_id: TenantId
    question_key: str
    waiters: tuple[tuple[RequestId, int, float, float], ...]
    """Each with its class, and the seconds until its deadline and until it is due."""
    expires: float
    probe: bool
    priority: int


class Granting(Struct, frozen=True, array_like=True):
    """What may be granted now, and when to look again."""

    granted: Granted | None
    wakeup: float | None
    more: bool
    """Nothing was granted because there was too much to look at in one decision."""


class Told(Struct, frozen=True, array_like=True):
    """What a call's end means."""

    waiters: tuple[RequestId, ...]
    breaker: tuple[PayerId, bool] | None
    calls_wait: bool


class Pictured(Struct, frozen=True, array_like=True):
    """Slots, held; classes, tenants and payers with what waits and what is in flight."""

    slots: int
    held: int
    classes: tuple[tuple[int, int, int], ...]
    tenants: tuple[tuple[TenantId, int, int], ...]
    payers: tuple[tuple[PayerId, int, int, BreakerState, float | None], ...]


def place_of(told: tuple[int, float | None]) -> QueuePlace:
    """A place in the queue."""
    return QueuePlace(queue_position=told[0], estimated_wait_seconds=told[1])


def status_of(told: Pictured) -> AdmissionStatus:
    """The picture, in order of names."""
    return AdmissionStatus(
        slots=told.slots,
        held=told.held,
        classes=tuple(
            ClassStatus(priority=_CLASSES[rank], waiting=waiting, in_flight=in_flight)
            for rank, waiting, in_flight in told.classes
        ),
        tenants=tuple(
            TenantStatus(tenant_id=tenant_id, waiting=waiting, in_flight=in_flight)
            for tenant_id, waiting, in_flight in sorted(told.tenants)
        ),
        payers=tuple(
            PayerStatus(payer_id=payer_id, waiting=waiting, in_flight=in_flight, breaker=breaker, median_seconds=median)
            for payer_id, waiting, in_flight, breaker, median in sorted(told.payers)
        ),
    )
