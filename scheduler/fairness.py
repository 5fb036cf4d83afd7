"""Start-time fair queuing: inside a class, tenants share slot-time, not dispatches.

Every tenant has a start tag, the virtual time up to which it was served: slot-seconds by weight. The tenant with the
least tag goes next and is charged an estimate, which is corrected to the true slot-time once that is known, so that
nobody gains by slow calls (Goyal, Vin and Cheng 1996; with many calls at once, Jin, Chase and Kaur 2004).

Calls that may not be made now (their payer is at its cap, or down) hinder nobody: every payer has its own line of
tenants, and a decision looks at the first of each. Within a tenant the oldest call that may be made goes first, not
the one with the earliest deadline: deadlines are set by whoever asks, and must not be a way to the front.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from math import ceil

from msgspec import Struct

from bus.ids import PayerId, TenantId
from scheduler.account import Account
from scheduler.flights import Flight
from scheduler.priority_queue import PriorityQueue


class _Lane:
    """What one tenant waits for from one payer, in the order of arrival."""

    __slots__ = ("flights", "sequences")

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.flights: dict[int, Flight] = {}

    def add(self, flight: Flight) -> None:
        insort(self.sequences, flight.sequence)
        self.flights[flight.sequence] = flight

    def remove(self, flight: Flight) -> None:
        del self.flights[flight.sequence]
        del self.sequences[self.before(flight)]

    def before(self, flight: Flight) -> int:
        """How many came earlier."""
        return bisect_left(self.sequences, flight.sequence)


class _Line(Account):
    """One tenant in one class, with what it waits for."""

    __slots__ = ("lanes", "waiting")

    def __init__(self, tenant_id: TenantId, start: float, weight: float) -> None:
        super().__init__(tenant_id, start, weight)
        self.lanes: dict[PayerId, _Lane] = {}
        self.waiting = 0

    def turns_before(self, start: float, sequence: int, cost_seconds: float) -> int:
        """How many calls of this tenant, if they go on at that cost, come before the one that starts at `start`."""
        turns = round((start - self.start) * self.weight / cost_seconds, 6)
        if turns < 0:
            return 0
        whole = ceil(turns)
        tied = whole == turns and min(lane.sequences[0] for lane in self.lanes.values()) < sequence
        return whole + tied


class Ahead(Struct, frozen=True, kw_only=True):
    """How many calls of the class go before one, as things stand."""

    total: int
    at_payer: int
    """Of the same payer."""


class FairQueue:
    """The calls of one class that are due, shared out between tenants."""

    def __init__(self, weights: Mapping[TenantId, float], catch_up_seconds: float) -> None:
        """A tenant whose payers were all busy or down may catch up `catch_up_seconds` of slot-time afterwards, no more:
        without a bound it would crowd out the others for as long as it was held up."""
        self._weights = weights
        self._catch_up_seconds = catch_up_seconds
        self._virtual_time = 0.0
        self._lines: dict[TenantId, _Line] = {}
        self._idle: PriorityQueue[TenantId, float] = PriorityQueue()
        self._heads: dict[PayerId, PriorityQueue[TenantId, tuple[float, int]]] = {}

    @property
    def payers(self) -> Iterable[PayerId]:
        """Those that calls of this class wait for."""
        return self._heads.keys()

    @property
    def tenants(self) -> int:
        """Tenants remembered."""
        return len(self._lines)

    def add(self, flight: Flight) -> None:
        """The call is due. A tenant that comes back starts at the present virtual time: idling earns nothing."""
        line = self._lines.get(flight.tenant_id)
        if line is None:
            line = self._lines[flight.tenant_id] = _Line(
                flight.tenant_id, self._virtual_time, self._weight(flight.tenant_id)
            )
        elif not line.waiting:
            line.start = self._start_of(flight.tenant_id)
            self._idle.discard(flight.tenant_id)
        line.lanes.setdefault(flight.payer_id, _Lane()).add(flight)
        line.waiting += 1
        self._rank(line, flight.payer_id)

    def remove(self, flight: Flight) -> None:
        """The call is made, or nobody waits for it any more."""
        line = self._lines[flight.tenant_id]
        line.lanes[flight.payer_id].remove(flight)
        line.waiting -= 1
        self._rank(line, flight.payer_id)
        self._retire(line)

    def first(self, admits: Callable[[PayerId], bool]) -> Flight | None:
        """The call that goes next, of the payers that admit one."""
        best: tuple[tuple[float, int], TenantId, PayerId] | None = None
        for payer_id, heads in self._heads.items():
            head = heads.first()
            if head is not None and (best is None or head[0] < best[0]) and admits(payer_id):
                best = (*head, payer_id)
        if best is None:
            return None
        (_, sequence), tenant_id, payer_id = best
        return self._lines[tenant_id].lanes[payer_id].flights[sequence]

    def charge(self, flight: Flight, seconds: float) -> Account:
        """The waiting call is made, for an estimate of its slot-time; the account to `correct`, once."""
        line = self._lines[flight.tenant_id]
        start = max(line.start, self._virtual_time - self._catch_up_seconds)
        self._virtual_time = max(self._virtual_time, start)
        line.charge(start, seconds)
        self.remove(flight)
        self._rank_all(line)
        for tenant_id in self._idle.pop_through(self._virtual_time):
            del self._lines[tenant_id]
        return line

    def correct(self, account: Account, seconds: float) -> None:
        """A call that was charged to the account took so much longer (or, negative, less long)."""
        account.correct(seconds)
        line = self._lines.get(account.tenant_id)
        if line is account:
            self._rank_all(line)
            self._retire(line)

    def ahead(self, flight: Flight, shut: frozenset[PayerId], cost_seconds: float) -> Ahead:
        """How many go before this call, counting only payers that are not shut (its own never is); O(tenants).

        Every tenant is taken to go on with calls of `cost_seconds`. A call that is not due yet is told its place as if
        it were.
        """
        own = self._lines.get(flight.tenant_id)
        lanes = {} if own is None else own.lanes
        before = sum(lane.before(flight) for payer_id, lane in lanes.items() if payer_id not in shut)
        start = self._start_of(flight.tenant_id) + before * cost_seconds / self._weight(flight.tenant_id)
        total, at_payer = before, lanes[flight.payer_id].before(flight) if flight.payer_id in lanes else 0
        for line in self._lines.values():
            if line is own or not line.waiting:
                continue
            turns = line.turns_before(start, flight.sequence, cost_seconds)
            lanes = line.lanes
            total += min(turns, line.waiting - sum(len(lanes[payer].sequences) for payer in shut if payer in lanes))
            if flight.payer_id in lanes:
                at_payer += min(turns, len(lanes[flight.payer_id].sequences))
        return Ahead(total=total, at_payer=at_payer)

    def _weight(self, tenant_id: TenantId) -> float:
        return self._weights.get(tenant_id, 1.0)

    def _start_of(self, tenant_id: TenantId) -> float:
        line = self._lines.get(tenant_id)
        if line is None:
            return self._virtual_time
        return line.start if line.waiting else max(line.start, self._virtual_time)

    def _rank_all(self, line: _Line) -> None:
        for payer_id in line.lanes:
            self._rank(line, payer_id)

    def _rank(self, line: _Line, payer_id: PayerId) -> None:
        lane = line.lanes.get(payer_id)
        if lane is not None and lane.sequences:
            self._heads.setdefault(payer_id, PriorityQueue()).put(line.tenant_id, (line.start, lane.sequences[0]))
            return
        line.lanes.pop(payer_id, None)
        heads = self._heads[payer_id]
        heads.discard(line.tenant_id)
        if not heads:
            del self._heads[payer_id]

    def _retire(self, line: _Line) -> None:
        """Forget the tenant as soon as that earns it nothing, and everybody's debts once nobody of the class waits:
        they were owed to nobody."""
        if not self._heads:
            self._lines.clear()
            self._idle = PriorityQueue()
        elif not line.waiting and not line.in_flight:
            self._idle.put(line.tenant_id, line.start)
