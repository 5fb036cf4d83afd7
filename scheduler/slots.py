"""The slots: leases on calls that the third party may be counting."""

from __future__ import annotations

from msgspec import Struct

from bus.events import Priority
from bus.ids import CallId, PayerId, TenantId
from scheduler.priority_queue import PriorityQueue


class Lease(Struct, frozen=True, kw_only=True):
    """A slot, held by one call until it is proven over or the lease ends. The call's id is the owner's token."""

    call_id: CallId
    payer_id: PayerId
    expires: float
    tenant_id: TenantId | None = None
    """None for a call of an earlier life: nobody knows any more."""
    priority: Priority | None = None
    """The class it was granted in; None like `tenant_id`."""


class Slots:
    """So many leases at most. What is free is counted from the leases held, so that it cannot drift from them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._leases: dict[CallId, Lease] = {}
        self._ends: PriorityQueue[CallId, float] = PriorityQueue()
        self._payers: dict[PayerId, PriorityQueue[CallId, float]] = {}

    @property
    def leases(self) -> tuple[Lease, ...]:
        """Every lease held."""
        return tuple(self._leases.values())

    @property
    def held(self) -> int:
        """Leases held, by live calls and by calls not proven over."""
        return len(self._leases)

    @property
    def free(self) -> int:
        """Negative where more is held than the size allows (see `Admission.hold`)."""
        return self.size - len(self._leases)

    def held_at(self, payer_id: PayerId) -> int:
        """Leases held by calls to this payer."""
        return len(self._payers.get(payer_id, ()))

    def payers_holding(self, at_least: int) -> frozenset[PayerId]:
        """Those whose calls hold so many leases."""
        return frozenset(payer_id for payer_id, ends in self._payers.items() if len(ends) >= at_least)

    def held_in(self, priority: Priority) -> int:
        """Leases held by calls granted in this class."""
        return sum(lease.priority is priority for lease in self._leases.values())

    def take(self, lease: Lease) -> None:
        """Hold a slot; taking the same lease again changes nothing."""
        self._leases[lease.call_id] = lease
        self._ends.put(lease.call_id, lease.expires)
        self._payers.setdefault(lease.payer_id, PriorityQueue()).put(lease.call_id, lease.expires)

    def release(self, call_id: CallId) -> bool:
        """Free the call's slot; whether it held one. Nobody else's is touched, however late this comes."""
        lease = self._leases.pop(call_id, None)
        if lease is None:
            return False
        self._ends.discard(call_id)
        at_payer = self._payers[lease.payer_id]
        at_payer.discard(call_id)
        if not at_payer:
            del self._payers[lease.payer_id]
        return True

    def sweep(self, now: float) -> list[CallId]:
        """Free the slots whose leases have ended; whose they were."""
        ended = list(self._ends.pop_through(now))
        for call_id in ended:
            self.release(call_id)
        return ended

    def next_end(self, payer_id: PayerId | None = None) -> float | None:
        """When the next lease ends, of all or of one payer's; None if none is held."""
        ends = self._ends if payer_id is None else self._payers.get(payer_id)
        return None if ends is None else ends.first_rank()
