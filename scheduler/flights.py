"""Flights: one call for everybody who asks the same question at the same time."""

from __future__ import annotations

from msgspec import Struct

from bus.events import Priority
from bus.ids import CallId, PayerId, RequestId, TenantId
from scheduler.account import Account
from scheduler.admission import Ask


class Call(Struct, kw_only=True):
    """A flight's call, from its grant on."""

    call_id: CallId
    priority: Priority
    """The class it was granted in, whoever joined since."""
    started: float
    lease_expires: float
    account: Account
    """The tenant's, by which it was granted,"""
    charged_seconds: float
    """and what it was charged."""
    over: bool = False
    """The lease has ended and nobody has said how the call did."""


class Forecast(Struct, frozen=True, kw_only=True):
    """What was said of a flight's wait, to be compared with what became of it."""

    at: float
    priority: Priority
    wait_seconds: float


class Flight:
    """One question of one tenant, and the requests that wait for its answer, the first to ask first.

    It is as urgent as its most urgent waiter, worth making until its latest deadline, and due when its earliest is.
    """

    __slots__ = (
        "call",
        "deadline",
        "forecast",
        "not_before",
        "payer_id",
        "priority",
        "question_key",
        "sequence",
        "tenant_id",
        "waiters",
    )

    def __init__(self, ask: Ask, sequence: int) -> None:
        self.tenant_id: TenantId = ask.tenant_id
        self.payer_id: PayerId = ask.payer_id
        self.question_key = ask.question_key
        self.sequence = sequence
        """Grows in the order of arrival."""
        self.waiters: dict[RequestId, Ask] = {ask.request_id: ask}
        self.call: Call | None = None
        self.forecast: Forecast | None = None
        self._sum_up()

    def join(self, ask: Ask) -> None:
        """One more waits. Only a flight that is in no queue may change."""
        self.waiters[ask.request_id] = ask
        self._sum_up()

    def leave(self, request_id: RequestId) -> None:
        """One less waits. Only a flight that is in no queue may change."""
        del self.waiters[request_id]
        if self.waiters:
            self._sum_up()

    def _sum_up(self) -> None:
        asks = self.waiters.values()
        self.priority = min((ask.priority for ask in asks), key=lambda priority: priority.rank)
        self.deadline = max(ask.deadline for ask in asks)
        self.not_before = min(ask.not_before for ask in asks)


class Flights:
    """Every flight, by question, by waiter and by call; at most one that can be joined for a question."""

    def __init__(self) -> None:
        self._by_question: dict[tuple[TenantId, str], Flight] = {}
        self._by_request: dict[RequestId, Flight] = {}
        self._by_call: dict[CallId, Flight] = {}
        self._sequence = 0

    def of_question(self, ask: Ask) -> Flight | None:
        """The flight this ask can join."""
        return self._by_question.get((ask.tenant_id, ask.question_key))

    def of_request(self, request_id: RequestId) -> Flight | None:
        """The flight this request waits for."""
        return self._by_request.get(request_id)

    def of_call(self, call_id: CallId) -> Flight | None:
        """The flight whose call this is, until it was settled."""
        return self._by_call.get(call_id)

    def open(self, ask: Ask) -> Flight:
        """A new flight."""
        self._sequence += 1
        flight = Flight(ask, self._sequence)
        self._by_question[ask.tenant_id, ask.question_key] = flight
        self._by_request[ask.request_id] = flight
        return flight

    def join(self, flight: Flight, ask: Ask) -> None:
        """One more waits for it."""
        flight.join(ask)
        self._by_request[ask.request_id] = flight

    def leave(self, request_id: RequestId) -> None:
        """The request waits no more. A flight nobody waits for goes, unless its call is being made."""
        flight = self._by_request.pop(request_id)
        flight.leave(request_id)
        if not flight.waiters and (flight.call is None or flight.call.over):
            self.close(flight)

    def depart(self, flight: Flight, call: Call) -> None:
        """The call is made from here on."""
        flight.call = call
        self._by_call[call.call_id] = flight

    def shut(self, flight: Flight) -> None:
        """Nobody joins it any more: its call's lease has ended. Who waits still may hear of it."""
        del self._by_question[flight.tenant_id, flight.question_key]
        if not flight.waiters:
            self.close(flight)

    def close(self, flight: Flight) -> tuple[RequestId, ...]:
        """The flight is over; who waited for it."""
        key = (flight.tenant_id, flight.question_key)
        if self._by_question.get(key) is flight:
            del self._by_question[key]
        if flight.call is not None:
            self._by_call.pop(flight.call.call_id, None)
        for request_id in flight.waiters:
            del self._by_request[request_id]
        return tuple(flight.waiters)
