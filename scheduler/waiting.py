"""The flights whose calls wait to be made, each in the one place where its time to be looked at comes up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from bus.events import Priority
from bus.ids import PayerId, TenantId
from scheduler.account import Account
from scheduler.fairness import FairQueue
from scheduler.flights import Flight
from scheduler.priority_queue import PriorityQueue


class Waiting:
    """Calls that are due wait in their class's queue, retries until they are due, and those with less time left than
    their payer usually takes aside, where they hinder nobody until they expire or the payer becomes faster."""

    def __init__(self, weights: Mapping[TenantId, float], catch_up_seconds: float) -> None:
        self.queues = {priority: FairQueue(weights, catch_up_seconds) for priority in Priority}
        self._not_due: PriorityQueue[Flight, float] = PriorityQueue()
        self._too_late: dict[PayerId, PriorityQueue[Flight, float]] = {}
        self._by_class: Counter[Priority] = Counter()
        self._by_tenant: dict[TenantId, Counter[Priority]] = {}
        self._by_payer: dict[PayerId, Counter[Priority]] = {}

    @property
    def tenants(self) -> Mapping[TenantId, Counter[Priority]]:
        """How many calls of each class wait, by tenant."""
        return self._by_tenant

    @property
    def payers(self) -> Mapping[PayerId, Counter[Priority]]:
        """How many calls of each class wait, by payer."""
        return self._by_payer

    def count(self, priority: Priority) -> int:
        """How many calls of the class wait."""
        return self._by_class[priority]

    def add(self, flight: Flight, now: float) -> None:
        """The flight's call waits."""
        self._by_class[flight.priority] += 1
        self._by_tenant.setdefault(flight.tenant_id, Counter())[flight.priority] += 1
        self._by_payer.setdefault(flight.payer_id, Counter())[flight.priority] += 1
        if flight.not_before > now:
            self._not_due.put(flight, flight.not_before)
        else:
            self.queues[flight.priority].add(flight)

    def remove(self, flight: Flight) -> None:
        """Nobody waits for it any more, or something about it changes."""
        self._uncount(flight)
        if flight in self._not_due:
            self._not_due.discard(flight)
        elif flight in self._too_late.get(flight.payer_id, ()):
            self._unset_aside(flight)
        else:
            self.queues[flight.priority].remove(flight)

    def call(self, flight: Flight, cost_seconds: float) -> Account:
        """Its call is made, for an estimate of its slot-time; the account to correct later."""
        self._uncount(flight)
        return self.queues[flight.priority].charge(flight, cost_seconds)

    def set_aside(self, flight: Flight) -> None:
        """It has too little time left for its payer."""
        self.queues[flight.priority].remove(flight)
        self._too_late.setdefault(flight.payer_id, PriorityQueue()).put(flight, -flight.deadline)

    def bring_up(self, now: float, in_time: Callable[[Flight], bool]) -> None:
        """Queue what has become due, and what was set aside and is `in_time` now."""
        for flight in self._not_due.pop_through(now):
            self.queues[flight.priority].add(flight)
        for aside in tuple(self._too_late.values()):
            # The latest deadline comes first: if that one is too late, all are.
            while (first := aside.first()) is not None and in_time(first[1]):
                self._unset_aside(first[1])
                self.queues[first[1].priority].add(first[1])

    @property
    def next_due(self) -> float | None:
        """When the next call that is not due yet will be."""
        return self._not_due.first_rank()

    @property
    def payers_of_late(self) -> Iterator[PayerId]:
        """Payers that calls set aside wait for."""
        return iter(self._too_late)

    @property
    def any_due(self) -> bool:
        """Whether a call waits for nothing but a slot or its payer."""
        return any(queue.payers for queue in self.queues.values())

    def is_due_at(self, payer_id: PayerId) -> bool:
        """Whether such a call waits for this payer."""
        return any(payer_id in queue.payers for queue in self.queues.values())

    def _unset_aside(self, flight: Flight) -> None:
        aside = self._too_late[flight.payer_id]
        aside.discard(flight)
        if not aside:
            del self._too_late[flight.payer_id]

    def _uncount(self, flight: Flight) -> None:
        self._by_class[flight.priority] -= 1
        _decrement(self._by_tenant, flight.tenant_id, flight.priority)
        _decrement(self._by_payer, flight.payer_id, flight.priority)


_Key = TypeVar("_Key")


def _decrement(counts: dict[_Key, Counter[Priority]], key: _Key, priority: Priority) -> None:
    counts[key][priority] -= 1
    if not counts[key].total():
        del counts[key]
