"""Where a call stands in the queue, and how long it will probably wait there."""

from __future__ import annotations

from bus.events import Priority
from bus.ids import PayerId
from scheduler.admission import QueuePlace
from scheduler.fairness import Ahead
from scheduler.flights import Flight, Forecast
from scheduler.payers import Payers
from scheduler.policy import AdmissionPolicy
from scheduler.slots import Slots
from scheduler.waiting import Waiting
from scheduler.waits import Waits


class Places:
    """Reads a call's place off the state of everything.

    Calls of other payers that admit none at the moment are passed over, and so are the slots those payers hold.
    """

    def __init__(
        self, *, policy: AdmissionPolicy, slots: Slots, waiting: Waiting, payers: Payers, waits: Waits
    ) -> None:
        self._policy = policy
        self._slots = slots
        self._waiting = waiting
        self._payers = payers
        self._waits = waits

    def place(self, flight: Flight, cost_seconds: float, now: float) -> QueuePlace:
        """The flight's place; what is said first of its wait is noted, to learn from."""
        shut = self._payers.shut(now) - {flight.payer_id}
        in_class = self._waiting.queues[flight.priority].ahead(flight, shut, cost_seconds)
        ahead = self._with_more_urgent(flight, in_class, shut)
        wait_seconds = self._wait_seconds(flight, in_class, ahead, shut, now)
        if wait_seconds is None:
            return QueuePlace(queue_position=ahead.total + 1, estimated_wait_seconds=None)
        barred_seconds = max(flight.not_before, self._payers[flight.payer_id].breaker.opens_at(now) or now) - now
        if flight.forecast is None and barred_seconds <= 0 < wait_seconds:
            flight.forecast = Forecast(at=now, priority=flight.priority, wait_seconds=wait_seconds)
        return QueuePlace(queue_position=ahead.total + 1, estimated_wait_seconds=max(wait_seconds, barred_seconds))

    def _with_more_urgent(self, flight: Flight, in_class: Ahead, shut: frozenset[PayerId]) -> Ahead:
        total, at_payer = in_class.total, in_class.at_payer
        by_payer = self._waiting.payers
        for priority in Priority:
            if priority.rank < flight.priority.rank:
                total += self._waiting.count(priority)
                total -= sum(by_payer[payer_id][priority] for payer_id in shut if payer_id in by_payer)
                at_payer += by_payer[flight.payer_id][priority]
        return Ahead(total=total, at_payer=at_payer)

    def _wait_seconds(
        self, flight: Flight, in_class: Ahead, ahead: Ahead, shut: frozenset[PayerId], now: float
    ) -> float | None:
        """The longer of two waits: for a slot, and for the payer to be below its cap."""
        call_seconds = self._waits.slot_seconds(now)
        if call_seconds is None:
            return None
        slots = self._policy.slots - sum(self._slots.held_at(payer_id) for payer_id in shut)
        turn = ahead.total + 1 - max(self._slots.free, 0)
        for_slot = turn / self._waits.share_left(flight.priority, slots, call_seconds, now)
        if floor := self._policy.floor(flight.priority):
            for_slot = min(for_slot, (in_class.total + 1) * call_seconds / floor)
        cap = self._policy.slots_per_payer
        turn_at_payer = ahead.at_payer + 1 - max(cap - self._slots.held_at(flight.payer_id), 0)
        payer_seconds = self._payers[flight.payer_id].slot_times.mean(now) or call_seconds
        for_payer = turn_at_payer * payer_seconds / cap
        return self._waits.calibrated(flight.priority, max(for_slot, for_payer, 0.0))
