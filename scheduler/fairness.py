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
from collections.abc import Collection, Mapping
from math import ceil
from typing import Final

from msgspec import Struct

from bus.ids import PayerId, TenantId
from scheduler.account import Account
from scheduler.flights import Flight
from scheduler.priority_queue import PriorityQueue

QUANTUM_SECONDS: Final = 60.0
"""Tenants whose start tags lie in the same quantum of slot-time are served in the order of arrival.

Within a short crowd fairness to the second would only make some wait longer than all would in a line: it costs people
half as much again of their 99th percentile. Over longer times shares are kept, to within a quantum.
"""


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
    """One tenant in one class, with what it waits for, by payer and in all."""

    __slots__ = ("lanes", "sequences")

    def __init__(self, tenant_id: TenantId, start: float, weight: float) -> None:
        super().__init__(tenant_id, start, weight)
        self.lanes: dict[PayerId, _Lane] = {}
        self.sequences: list[int] = []

    def add(self, flight: Flight) -> None:
        insort(self.sequences, flight.sequence)
        self.lanes.setdefault(flight.payer_id, _Lane()).add(flight)

    def remove(self, flight: Flight) -> None:
        del self.sequences[bisect_left(self.sequences, flight.sequence)]
        lane = self.lanes[flight.payer_id]
        lane.remove(flight)
        if not lane.sequences:
            del self.lanes[flight.payer_id]

    def waiting_at(self, payers: frozenset[PayerId]) -> int:
        """Its calls to these payers."""
        return sum(len(self.lanes[payer].sequences) for payer in payers if payer in self.lanes)

    def turns_before(self, edge: float, sequence: int, cost_seconds: float) -> int:
        """How many of its calls, at that cost each, go before one in the quantum that begins at `edge`: those of
        earlier quanta, and those of this one that came earlier."""
        sequences = self.sequences
        waiting = len(sequences)
        turns = ceil((edge - self.start) * self.weight / cost_seconds) if self.start < edge else 0
        if turns >= waiting:
            return waiting
        came_earlier = waiting if sequences[-1] < sequence else bisect_left(sequences, sequence)
        if came_earlier <= turns:
            return turns
        turns_with_this = ceil((edge + QUANTUM_SECONDS - self.start) * self.weight / cost_seconds)
        return max(turns, min(came_earlier, turns_with_this))


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
        self._payers: PriorityQueue[PayerId, tuple[float, int]] = PriorityQueue()

    @property
    def payers(self) -> Collection[PayerId]:
        """Those that calls of this class wait for."""
        return self._heads.keys()

    def add(self, flight: Flight) -> None:
        """The call is due. A tenant that comes back starts at the present virtual time: idling earns nothing."""
        line = self._lines.get(flight.tenant_id)
        if line is None:
            line = self._lines[flight.tenant_id] = _Line(
                flight.tenant_id, self._virtual_time, self._weight(flight.tenant_id)
            )
        elif not line.sequences:
            line.start = self._start_of(flight.tenant_id)
            self._idle.discard(flight.tenant_id)
        line.add(flight)
        self._rank(line, flight.payer_id)

    def remove(self, flight: Flight) -> None:
        """The call is made, or nobody waits for it any more."""
        line = self._lines[flight.tenant_id]
        line.remove(flight)
        self._rank(line, flight.payer_id)
        self._retire(line)

    def first(self, shut: frozenset[PayerId]) -> Flight | None:
        """The call that goes next, of the payers that are not shut."""
        passed = []
        while (best := self._payers.first()) is not None and best[1] in shut:
            passed.append(best)
            self._payers.discard(best[1])
        for rank, payer_id in passed:
            self._payers.put(payer_id, rank)
        if best is None:
            return None
        (_, sequence), payer_id = best
        head = self._heads[payer_id].first()
        return None if head is None else self._lines[head[1]].lanes[payer_id].flights[sequence]

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
        start, total, at_payer = self._start_of(flight.tenant_id), 0, 0
        own = self._lines.get(flight.tenant_id)
        if own is not None:
            total = sum(lane.before(flight) for payer_id, lane in own.lanes.items() if payer_id not in shut)
            at_payer = own.lanes[flight.payer_id].before(flight) if flight.payer_id in own.lanes else 0
        start += total * cost_seconds / self._weight(flight.tenant_id)
        edge = start - start % QUANTUM_SECONDS
        for line in self._lines.values():
            if line is own or not line.sequences or line.start >= edge + QUANTUM_SECONDS:
                continue
            turns = line.turns_before(edge, flight.sequence, cost_seconds)
            total += min(turns, len(line.sequences) - line.waiting_at(shut)) if shut else turns
            lane = line.lanes.get(flight.payer_id)
            if lane is not None:
                at_payer += min(turns, len(lane.sequences))
        return Ahead(total=total, at_payer=at_payer)

    def _weight(self, tenant_id: TenantId) -> float:
        return self._weights.get(tenant_id, 1.0)

    def _start_of(self, tenant_id: TenantId) -> float:
        line = self._lines.get(tenant_id)
        if line is None:
            return self._virtual_time
        return line.start if line.sequences else max(line.start, self._virtual_time)

    def _rank_all(self, line: _Line) -> None:
        for payer_id in line.lanes:
            self._rank(line, payer_id)

    def _rank(self, line: _Line, payer_id: PayerId) -> None:
        lane = line.lanes.get(payer_id)
        heads = self._heads.setdefault(payer_id, PriorityQueue())
        if lane is None:
            heads.discard(line.tenant_id)
        else:
            heads.put(line.tenant_id, (line.start // QUANTUM_SECONDS, lane.sequences[0]))
        first = heads.first_rank()
        if first is None:
            del self._heads[payer_id]
            self._payers.discard(payer_id)
        else:
            self._payers.put(payer_id, first)

    def _retire(self, line: _Line) -> None:
        """Forget the tenant as soon as that earns it nothing, and everybody's debts once nobody of the class waits:
        they were owed to nobody."""
        if not self._heads:
            self._lines.clear()
            self._idle = PriorityQueue()
        elif not line.sequences and not line.in_flight:
            self._idle.put(line.tenant_id, line.start)
