"""Schedulers that must fail: what the bars would not tell apart from ours, they would not be worth."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from bus.events import Priority
from bus.ids import CallId, RequestId, TenantId
from scheduler.admission import Ask, CallEnd, Grant, Settled
from scheduler.core import AdmissionCore
from scheduler.policy import AdmissionPolicy, BreakerPolicy
from tests.scheduler.simulation import LEASE_SECONDS, numbered_ids


def unguarded() -> AdmissionCore:
    """No cap per payer and no breaker."""
    policy = AdmissionPolicy(
        slots_per_payer=15, breaker=BreakerPolicy(failures=10**9, run_seconds=float("inf")), lease_seconds=LEASE_SECONDS
    )
    return AdmissionCore(policy, numbered_ids())


class StaticSplit:
    """Ten slots for batch work and five for people, as in the vendor's reference code; neither lends to the other."""

    def __init__(self) -> None:
        self._batch = AdmissionCore(AdmissionPolicy(slots=10, lease_seconds=LEASE_SECONDS), numbered_ids("batch"))
        self._real_time = AdmissionCore(AdmissionPolicy(slots=5, lease_seconds=LEASE_SECONDS), numbered_ids("live"))

    def offer(self, ask: Ask, now: float) -> object:
        pool = self._batch if ask.priority is Priority.BACKGROUND else self._real_time
        return pool.offer(ask, now)

    def grant(self, now: float) -> Grant | None:
        return self._real_time.grant(now) or self._batch.grant(now)

    def settle(self, call_id: CallId, end: CallEnd, now: float) -> Settled:
        pool = self._batch if call_id.startswith("batch") else self._real_time
        return pool.settle(call_id, end, now)

    def expired(self, now: float) -> Sequence[RequestId]:
        return [*self._real_time.expired(now), *self._batch.expired(now)]

    def next_wakeup(self, now: float) -> float | None:
        moments = (self._real_time.next_wakeup(now), self._batch.next_wakeup(now))
        return min((moment for moment in moments if moment is not None), default=None)


class RoundRobin:
    """Tenants take turns call by call, however long the calls are."""

    def __init__(self, slots: int = 15) -> None:
        self._free = slots
        self._tenants: deque[tuple[TenantId, deque[Ask]]] = deque()
        self._new_id = numbered_ids()

    def offer(self, ask: Ask, now: float) -> object:
        for tenant_id, asks in self._tenants:
            if tenant_id == ask.tenant_id:
                asks.append(ask)
                return None
        self._tenants.append((ask.tenant_id, deque([ask])))
        return None

    def grant(self, now: float) -> Grant | None:
        for _ in range(len(self._tenants) if self._free else 0):
            self._tenants.rotate(-1)
            _, asks = self._tenants[0]
            if asks:
                self._free -= 1
                return lease(asks.popleft(), CallId(self._new_id()), now)
        return None

    def settle(self, call_id: CallId, end: CallEnd, now: float) -> Settled:
        self._free += 1
        return Settled(waiters=(), breaker=None)

    def expired(self, now: float) -> Sequence[RequestId]:
        return ()

    def next_wakeup(self, now: float) -> float | None:
        return None


class LeastServed:
    """The tenant with the least slot-time ever goes first: whoever idled is owed everything."""

    def __init__(self, slots: int = 15) -> None:
        self._free = slots
        self._waiting: dict[TenantId, deque[Ask]] = {}
        self._served: dict[TenantId, float] = {}
        self._calls: dict[CallId, tuple[TenantId, float]] = {}
        self._new_id = numbered_ids()

    def offer(self, ask: Ask, now: float) -> object:
        self._waiting.setdefault(ask.tenant_id, deque()).append(ask)
        return None

    def grant(self, now: float) -> Grant | None:
        waiting = [tenant_id for tenant_id, asks in self._waiting.items() if asks]
        if not waiting or not self._free:
            return None
        self._free -= 1
        served = {tenant_id: self._served.get(tenant_id, 0.0) for tenant_id in waiting}
        for tenant_id, began in self._calls.values():
            if tenant_id in served:
                served[tenant_id] += now - began
        tenant_id = min(waiting, key=lambda tenant_id: served[tenant_id])
        grant = lease(self._waiting[tenant_id].popleft(), CallId(self._new_id()), now)
        self._calls[grant.call_id] = tenant_id, now
        return grant

    def settle(self, call_id: CallId, end: CallEnd, now: float) -> Settled:
        self._free += 1
        tenant_id, began = self._calls.pop(call_id)
        self._served[tenant_id] = self._served.get(tenant_id, 0.0) + now - began
        return Settled(waiters=(), breaker=None)

    def expired(self, now: float) -> Sequence[RequestId]:
        return ()

    def next_wakeup(self, now: float) -> float | None:
        return None


def lease(ask: Ask, call_id: CallId, now: float) -> Grant:
    return Grant(
        call_id=call_id,
        payer_id=ask.payer_id,
        tenant_id=ask.tenant_id,
        question_key=ask.question_key,
        waiters=(ask.request_id,),
        lease_expires=now + LEASE_SECONDS,
        probe=False,
    )
