"""Start-time fair queuing: inside a class, tenants share slot-time, not dispatches.

Every tenant has a start tag, the virtual time up to which it was served: slot-seconds by weight. The tenant with the
least tag goes next and is charged an estimate, which is corrected to the true slot-time once that is known, so that
nobody gains by slow calls (Goyal, Vin and Cheng 1996; with many calls at once, Jin, Chase and Kaur 2004).

Calls that may not be made now (their payer is at its cap, or down) hinder nobody: every payer has its own line of
tenants, and a decision looks at the first of each. Within a tenant the oldest call that may be made goes first, not
the one with the earliest deadline: deadlines are set by whoever asks, and must not be a way to the front.
"""

from __future__ import annotations

from array import array
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
        self.sequences = array("q")
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

    __slots__ = ("lanes", "quantum", "sequences")

    def __init__(self, tenant_id: TenantId, start: float, weight: float) -> None:
        super().__init__(tenant_id, start, weight)
        self.quantum = start // QUANTUM_SECONDS
        """The one that its calls are ranked in."""
        self.lanes: dict[PayerId, _Lane] = {}
        self.sequences = array("q")

    def add(self, flight: Flight) -> None:
        insort(self.sequences, flight.sequence)
        self.lanes.setdefault(flight.payer_id, _Lane()).add(flight)

    def remove(self, flight: Flight) -> None:
        del self.sequences[bisect_left(self.sequences, flight.sequence)]
        lane = self.lanes[flight.payer_id]
        lane.remove(flight)
        if not lane.sequences:
            del self.lanes[flight.payer_id]

    def before(self, flight: Flight, shut: frozenset[PayerId]) -> int:
        """How many came earlier, of payers that are not shut."""
        passed = sum(self.lanes[payer].before(flight) for payer in shut if payer in self.lanes)
        return bisect_left(self.sequences, flight.sequence) - passed


class _Heads(PriorityQueue[TenantId, tuple[float, int]]):
    """The tenants that wait for one payer, by the calls of theirs that go first there."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[TenantId, int] = {}
        """How many calls each waits for. Beside the lanes, which a place would have to visit one by one."""


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
        self._size = 0
        self._newest = 0
        self._lines: dict[TenantId, _Line] = {}
        self._idle: PriorityQueue[TenantId, float] = PriorityQueue()
        self._heads: dict[PayerId, _Heads] = {}
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
            line.quantum = line.start // QUANTUM_SECONDS
            self._idle.discard(flight.tenant_id)
        line.add(flight)
        self._size += 1
        self._newest = max(self._newest, flight.sequence)
        self._rank(line, flight.payer_id)

    def remove(self, flight: Flight) -> None:
        """The call is made, or nobody waits for it any more."""
        line = self._lines[flight.tenant_id]
        line.remove(flight)
        self._size -= 1
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
        self._move(line)
        for tenant_id in self._idle.pop_through(self._virtual_time):
            del self._lines[tenant_id]
        return line

    def correct(self, account: Account, seconds: float) -> None:
        """A call that was charged to the account took so much longer (or, negative, less long)."""
        account.correct(seconds)
        line = self._lines.get(account.tenant_id)
        if line is account:
            self._move(line)
            self._retire(line)

    def ahead(self, flight: Flight, shut: frozenset[PayerId], cost_seconds: float) -> Ahead:
        """How many go before this call, counting only payers that are not shut (its own never is); O(tenants).

        Every tenant is taken to go on with calls of `cost_seconds`. A call that is not due yet is told its place as if
        it were.
        """
        own = self._lines.get(flight.tenant_id)
        came_earlier = 0 if own is None else own.before(flight, shut)
        start = self._start_of(flight.tenant_id) + came_earlier * cost_seconds / self._weight(flight.tenant_id)
        edge = start - start % QUANTUM_SECONDS
        end = edge + QUANTUM_SECONDS
        # Every call of another tenant goes before, but for what the loop finds to come later.
        here = self._waiting_at(flight.payer_id)
        passed = [self._waiting_at(payer_id) for payer_id in shut]
        total = self._size - sum(sum(at_payer.values()) for at_payer in passed)
        at_payer = sum(here.values())
        sequence = flight.sequence
        newest = sequence >= self._newest  # all of its quantum came earlier
        # As much as possible of this loop is written out: it is the dearest part of an offer.
        for tenant_id, line in self._lines.items():
            sequences, begin = line.sequences, line.start
            waiting, calls_per_second = len(sequences), line.weight / cost_seconds
            turns = 0
            if line is not own and begin < end and waiting:
                if not newest and begin < edge:
                    calls = (edge - begin) * calls_per_second
                    if calls > waiting - 1:
                        continue
                    turns = ceil(calls)
                calls = (end - begin) * calls_per_second
                to_end = waiting if calls > waiting - 1 else ceil(calls)
                all_came_earlier = newest or sequences[to_end - 1] < sequence
                turns = to_end if all_came_earlier else bisect_left(sequences, sequence, turns, to_end)
                if turns == waiting:
                    continue
            later = waiting - turns
            for by_tenant in passed:
                if tenant_id in by_tenant:
                    later -= by_tenant[tenant_id]
            if later > 0:
                total -= later
            if tenant_id in here and here[tenant_id] > turns:
                at_payer -= here[tenant_id] - turns
        if own is not None:
            total += came_earlier
            at_payer += own.lanes[flight.payer_id].before(flight) if flight.payer_id in own.lanes else 0
        return Ahead(total=total, at_payer=at_payer)

    def _waiting_at(self, payer_id: PayerId) -> Mapping[TenantId, int]:
        """How many calls each tenant waits for from the payer."""
        heads = self._heads.get(payer_id)
        return {} if heads is None else heads.waiting

    def _weight(self, tenant_id: TenantId) -> float:
        return self._weights.get(tenant_id, 1.0)

    def _start_of(self, tenant_id: TenantId) -> float:
        line = self._lines.get(tenant_id)
        if line is None:
            return self._virtual_time
        return line.start if line.sequences else max(line.start, self._virtual_time)

    def _move(self, line: _Line) -> None:
        """Its start tag has changed; which matters once it lies in another quantum."""
        quantum = line.start // QUANTUM_SECONDS
        if quantum != line.quantum:
            line.quantum = quantum
            for payer_id in line.lanes:
                self._rank(line, payer_id)

    def _rank(self, line: _Line, payer_id: PayerId) -> None:
        lane = line.lanes.get(payer_id)
        heads = self._heads.setdefault(payer_id, _Heads())
        if lane is None:
            heads.discard(line.tenant_id)
            heads.waiting.pop(line.tenant_id, None)
        else:
            heads.put(line.tenant_id, (line.quantum, lane.sequences[0]))
            heads.waiting[line.tenant_id] = len(lane.sequences)
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
