"""Every decision about who may call next, without a clock, a task or a lock of its own.

Each method first brings the state up to `now`: leases that have ended free their slots, waiters whose deadline has
passed leave, calls that are due join their class's queue. What is left of a decision is then a look at a few heads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil
from typing import Final, assert_never

from bus.events import Priority
from bus.ids import CallId, NewId, PayerId, RequestId, TenantId
from scheduler.admission import (
    AdmissionStatus,
    Ask,
    BreakerChange,
    BreakerState,
    CallEnd,
    Grant,
    Joined,
    QueuePlace,
    Settled,
)
from scheduler.errors import QueueFull
from scheduler.flights import Call, Flight, Flights
from scheduler.payers import Payers
from scheduler.places import Places
from scheduler.policy import AdmissionPolicy
from scheduler.priority_queue import PriorityQueue
from scheduler.slots import Lease, Slots
from scheduler.status import picture
from scheduler.waiting import Waiting
from scheduler.waits import Waits

_UNKNOWN_CALL_SECONDS: Final = 5.0
"""What a call is taken to cost before any has ended."""
_CATCH_UP_SECONDS: Final = 120.0
"""See FairQueue: the length of one hanging call."""
_HOUSEKEEPING_SECONDS: Final = 300.0
_LONGEST_RETRY_AFTER_SECONDS: Final = 300


class AdmissionCore:
    """The synchronous core of the in-memory admission: see `Admission` for what its methods promise."""

    def __init__(self, policy: AdmissionPolicy, new_id: NewId) -> None:
        self._policy = policy
        self._new_id = new_id
        self._slots = Slots(policy.slots)
        self._flights = Flights()
        self._deadlines: PriorityQueue[RequestId, float] = PriorityQueue()
        self._overdue: dict[RequestId, None] = {}
        self._waiting = Waiting(policy.weights, _CATCH_UP_SECONDS)
        self._payers = Payers(policy, self._slots)
        self._waits = Waits()
        self._places = Places(
            policy=policy, slots=self._slots, waiting=self._waiting, payers=self._payers, waits=self._waits
        )
        self._time = 0.0
        self._housekeeping_at = 0.0

    # Waiting.

    def room(self, tenant_id: TenantId, priority: Priority) -> None:
        """Calls of less urgent classes do not count, so that no flood of them shuts out people. Past the limit a tenant
        is still let in below its equal share of it, so that no tenant shuts out another; so at most about twice the
        limit waits for a class. Raises QueueFull."""
        urgent = [other for other in Priority if other.rank <= priority.rank]
        waiting = sum(self._waiting.count(other) for other in urgent)
        if waiting < self._policy.queue_limit:
            return
        of_tenant = self._waiting.tenants.get(tenant_id, Counter())
        tenants = len(self._waiting.tenants) + (tenant_id not in self._waiting.tenants)
        if sum(of_tenant[other] for other in urgent) >= self._policy.queue_limit // tenants:
            raise QueueFull(self._retry_after_seconds(waiting))

    def offer(self, ask: Ask, now: float) -> QueuePlace | Joined:
        self._advance(now)
        self._overdue.pop(ask.request_id, None)
        flight = self._flights.of_request(ask.request_id) or self._wait(ask, now)
        if flight.call is not None:
            return Joined(call_id=flight.call.call_id, lease_expires=flight.call.lease_expires)
        return self._place(flight, now)

    def leave(self, request_id: RequestId, now: float) -> bool:
        self._advance(now)
        if request_id in self._overdue:
            del self._overdue[request_id]
            return True
        if self._flights.of_request(request_id) is None:
            return False
        self._drop(request_id, now)
        return True

    def expired(self, now: float) -> tuple[RequestId, ...]:
        self._advance(now)
        overdue = tuple(self._overdue)
        self._overdue.clear()
        return overdue

    def place(self, request_id: RequestId, now: float) -> QueuePlace | None:
        self._advance(now)
        flight = self._flights.of_request(request_id)
        return None if flight is None or flight.call is not None else self._place(flight, now)

    # Calling.

    def grant(self, now: float) -> Grant | None:
        self._advance(now)
        flight = self._next(now) if self._slots.free > 0 else None
        if flight is None:
            return None
        call = self._depart(flight, now)
        breaker = self._payers[flight.payer_id].breaker
        probe = breaker.state(now) is BreakerState.HALF_OPEN
        if probe:
            breaker.send_probe(call.call_id)
        return Grant(
            call_id=call.call_id,
            payer_id=flight.payer_id,
            tenant_id=flight.tenant_id,
            question_key=flight.question_key,
            waiters=tuple(flight.waiters),
            lease_expires=call.lease_expires,
            probe=probe,
        )

    def settle(self, call_id: CallId, end: CallEnd, now: float) -> Settled:
        self._advance(now)
        flight = self._flights.of_call(call_id)
        if flight is None or flight.call is None:
            return Settled(waiters=(), breaker=None)
        call = flight.call
        waiters = self._flights.close(flight)
        for request_id in waiters:
            self._deadlines.discard(request_id)
        slot_seconds = _slot_seconds(call, end, now)
        if end not in (CallEnd.TIMED_OUT, CallEnd.LOST):
            self._slots.release(call_id)
        if not call.over:
            self._waiting.queues[call.priority].correct(call.account, slot_seconds - call.charged_seconds)
        if end is not CallEnd.NOT_MADE:
            self._waits.ended(slot_seconds, now)
            self._payers[flight.payer_id].slot_times.record(slot_seconds, now)
        breaker = self._judge(flight.payer_id, call, end, now)
        return Settled(waiters=waiters, breaker=breaker, calls_wait=bool(self._waiting.tenants))

    def next_wakeup(self, now: float) -> float | None:
        self._advance(now)
        if self._overdue:
            return now
        return min((moment for moment in self._moments(now) if moment is not None), default=None)

    def status(self, now: float) -> AdmissionStatus:
        self._advance(now)
        return picture(self._slots, self._waiting, self._payers, now)

    # At a start.

    def hold(self, call_id: CallId, payer_id: PayerId, lease_expires: float, now: float) -> None:
        self._advance(now)
        if lease_expires > now:
            self._slots.take(Lease(call_id=call_id, payer_id=payer_id, expires=lease_expires))

    def open_breaker(self, payer_id: PayerId, now: float) -> None:
        self._advance(now)
        self._payers.is_down(payer_id, now)

    # Bringing the state up to date.

    def _advance(self, now: float) -> None:
        self._time = now
        for call_id in self._slots.sweep(now):
            self._lease_ended(call_id)
        for request_id in self._deadlines.pop_through(now):
            self._overdue[request_id] = None
            self._drop(request_id, now)
        self._waiting.bring_up(now, lambda flight: self._in_time(flight, now))
        if now >= self._housekeeping_at:
            self._payers.forget_idle(now)
            self._housekeeping_at = now + _HOUSEKEEPING_SECONDS

    def _lease_ended(self, call_id: CallId) -> None:
        flight = self._flights.of_call(call_id)
        if flight is None or flight.call is None:
            return  # settled long ago, as not proven over
        call = flight.call
        call.over = True
        self._waiting.queues[call.priority].correct(
            call.account, call.lease_expires - call.started - call.charged_seconds
        )
        self._payers[flight.payer_id].breaker.give_back_probe(call_id)
        self._flights.shut(flight)

    def _drop(self, request_id: RequestId, now: float) -> None:
        self._deadlines.discard(request_id)
        flight = self._flights.of_request(request_id)
        if flight is None:
            return
        if flight.call is not None:
            self._flights.leave(request_id)
            return
        self._waiting.remove(flight)
        self._flights.leave(request_id)
        if flight.waiters:
            self._waiting.add(flight, now)

    def _wait(self, ask: Ask, now: float) -> Flight:
        flight = self._flights.of_question(ask)
        self._deadlines.put(ask.request_id, ask.deadline)
        if flight is None:
            flight = self._flights.open(ask)
            self._waits.arrived(flight.priority, now)
            self._waiting.add(flight, now)
        elif flight.call is not None:
            self._flights.join(flight, ask)
        else:
            self._waiting.remove(flight)
            self._flights.join(flight, ask)
            self._waiting.add(flight, now)
        return flight

    # Choosing.

    def _next(self, now: float) -> Flight | None:
        """The most urgent class first, but for those below their floors; inside a class as its queue says."""
        shut = self._payers.shut(now)
        below = [priority for priority in Priority if self._slots.held_in(priority) < self._policy.floor(priority)]
        for priority in (*below, *Priority):
            queue = self._waiting.queues[priority]
            while (flight := queue.first(shut)) is not None:
                if self._in_time(flight, now):
                    return flight
                self._waiting.set_aside(flight)
        return None

    def _in_time(self, flight: Flight, now: float) -> bool:
        return self._payers[flight.payer_id].can_answer_by(flight.deadline, now)

    def _cost_seconds(self, payer_id: PayerId, now: float) -> float:
        """What a call to the payer is expected to cost."""
        known = self._payers[payer_id].slot_times.mean(now) or self._waits.slot_seconds(now)
        return known or _UNKNOWN_CALL_SECONDS

    def _depart(self, flight: Flight, now: float) -> Call:
        cost_seconds = self._cost_seconds(flight.payer_id, now)
        call = Call(
            call_id=CallId(self._new_id()),
            priority=flight.priority,
            started=now,
            lease_expires=now + self._policy.lease_seconds,
            charged_seconds=cost_seconds,
            account=self._waiting.call(flight, cost_seconds),
        )
        self._slots.take(
            Lease(
                call_id=call.call_id,
                payer_id=flight.payer_id,
                expires=call.lease_expires,
                tenant_id=flight.tenant_id,
                priority=call.priority,
            )
        )
        if flight.forecast is not None and flight.forecast.priority is flight.priority:
            self._waits.granted(flight.forecast, now)
        self._flights.depart(flight, call)
        return call

    def _moments(self, now: float) -> Iterator[float | None]:
        """When something may happen by itself; all later than `now`."""
        yield self._deadlines.first_rank()
        yield self._waiting.next_due
        if self._slots.free <= 0 and self._waiting.any_due:
            yield self._slots.next_end()
        for payer_id in self._payers.shut(now):
            if self._waiting.is_due_at(payer_id):
                yield from self._payers.next_admission(payer_id, now)
        for payer_id in self._waiting.payers_of_late:
            yield self._payers[payer_id].answer_times.next_change(now)

    # Telling.

    def _place(self, flight: Flight, now: float) -> QueuePlace:
        return self._places.place(flight, self._waits.slot_seconds(now) or _UNKNOWN_CALL_SECONDS, now)

    def _judge(self, payer_id: PayerId, call: Call, end: CallEnd, now: float) -> BreakerChange | None:
        match end:
            case CallEnd.ANSWERED:
                self._payers[payer_id].answer_times.record(now - call.started, now)
                return self._payers.answered(payer_id, call.call_id)
            case CallEnd.UNREACHABLE | CallEnd.TIMED_OUT:
                return self._payers.failed(payer_id, call.call_id, now)
            case CallEnd.LOST | CallEnd.FAILED | CallEnd.NOT_MADE:
                self._payers[payer_id].breaker.give_back_probe(call.call_id)
                return None
            case _:
                assert_never(end)

    def _retry_after_seconds(self, waiting: int) -> int:
        """Until a tenth of what waits will have been called."""
        mean = self._waits.slot_seconds(self._time) or _UNKNOWN_CALL_SECONDS
        seconds = ceil(waiting / 10 * mean / self._policy.slots)
        return min(max(seconds, 1), _LONGEST_RETRY_AFTER_SECONDS)


def _slot_seconds(call: Call, end: CallEnd, now: float) -> float:
    """How long the call holds its slot."""
    match end:
        case CallEnd.ANSWERED | CallEnd.UNREACHABLE | CallEnd.FAILED:
            return min(now, call.lease_expires) - call.started
        case CallEnd.TIMED_OUT | CallEnd.LOST:
            return call.lease_expires - call.started
        case CallEnd.NOT_MADE:
            return 0.0
        case _:
            assert_never(end)
