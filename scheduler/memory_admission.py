"""The adapter of the admission port for one process: everything in memory, rebuilt from the log at a start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from bus.events import Priority
from bus.ids import CallId, NewId, PayerId, RequestId, TenantId
from scheduler.admission import AdmissionStatus, Ask, CallEnd, Grant, Joined, QueuePlace, Renewal, Settled
from scheduler.core import AdmissionCore
from scheduler.policy import AdmissionPolicy


class MemoryAdmission:
    """Decides at once and never yields to other tasks, which makes each decision atomic."""

    def __init__(self, policy: AdmissionPolicy, new_id: NewId) -> None:
        self._core = AdmissionCore(policy, new_id)

    async def room(self, tenant_id: TenantId, priority: Priority, now: float) -> None:  # noqa: ARG002 - of the port
        """See Admission."""
        self._core.room(tenant_id, priority)

    async def offer(self, ask: Ask, now: float) -> QueuePlace | Joined:
        """See Admission."""
        return self._core.offer(ask, now)

    async def grant(self, now: float) -> Grant | None:
        """See Admission."""
        return self._core.grant(now)

    async def settle(self, call_id: CallId, end: CallEnd, now: float) -> Settled:
        """See Admission."""
        return self._core.settle(call_id, end, now)

    async def leave(self, request_id: RequestId, now: float) -> bool:
        """See Admission."""
        return self._core.leave(request_id, now)

    async def expired(self, now: float) -> Sequence[RequestId]:
        """See Admission."""
        return self._core.expired(now)

    async def next_wakeup(self, now: float) -> float | None:
        """See Admission."""
        return self._core.next_wakeup(now)

    async def place(self, request_id: RequestId, now: float) -> QueuePlace | None:
        """See Admission."""
        return self._core.place(request_id, now)

    async def hold(self, call_id: CallId, payer_id: PayerId, lease_expires: float, now: float) -> None:
        """See Admission."""
        self._core.hold(call_id, payer_id, lease_expires, now)

    async def open_breaker(self, payer_id: PayerId, now: float) -> None:
        """See Admission."""
        self._core.open_breaker(payer_id, now)

    async def vouch(self, now: float) -> None:  # its one process knows what it does
        """See Admission."""

    async def renew(self, now: float) -> Renewal:  # noqa: ARG002  # nothing is shared: there is nobody to tell
        """See Admission."""
        return Renewal(state_lost=False, abandoned=())

    async def watch(self, changed: Callable[[], None]) -> None:  # noqa: ARG002  # nobody else changes anything
        """See Admission."""
        await asyncio.Event().wait()

    async def status(self, now: float) -> AdmissionStatus:
        """See Admission."""
        return self._core.status(now)
