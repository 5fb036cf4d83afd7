"""A world in virtual time around a scheduler: asks that come, a vendor that counts by itself, a record of it all."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import count
from math import exp, log
from random import Random
from typing import Protocol

from msgspec import Struct

from bus.events import Priority
from bus.ids import CallId, NewId, PayerId, RequestId, TenantId
from scheduler.admission import Ask, CallEnd, Grant, Settled

CLIENT_TIMEOUT_SECONDS = 120.0
LEASE_SECONDS = 125.0
VENDOR_HOLD_SECONDS = 122.0
"""The vendor counts no call for longer, and every call that nobody listens to any more for as long as it takes."""
_SIGMA = log(11.95 / 3.0) / 1.6449
MEAN_SECONDS = 3.0 * exp(_SIGMA**2 / 2)


class Scheduler(Protocol):
    """What is simulated: the core, or a control that must fail."""

    def offer(self, ask: Ask, now: float) -> object: ...

    def grant(self, now: float) -> Grant | None: ...

    def settle(self, call_id: CallId, end: CallEnd, now: float) -> Settled: ...

    def expired(self, now: float) -> Sequence[RequestId]: ...

    def next_wakeup(self, now: float) -> float | None: ...


def numbered_ids(prefix: str = "call") -> NewId:
    """call-1, call-2, ..."""
    numbers = count(1)
    return lambda: f"{prefix}-{next(numbers)}"


def call_seconds(random: Random) -> float:
    """Lognormal, median 3 s, 95th percentile 11.95 s, capped at 120 s (mean 4.27 s)."""
    return min(random.lognormvariate(log(3.0), _SIGMA), 120.0)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Waited(Struct, frozen=True):
    """One ask that was granted."""

    ask: Ask
    offered: float
    granted: float
    estimate: float | None

    @property
    def seconds(self) -> float:
        return self.granted - self.offered


class Simulation:
    """Runs a scheduler event by event. Every wait, every tenant's and payer's slot-time and the vendor's count are
    recorded from outside, by what the vendor sees."""

    def __init__(self, scheduler: Scheduler, call_seconds: Callable[[Ask], float]) -> None:
        self.scheduler = scheduler
        self.now = 0.0
        self.waits: list[Waited] = []
        self.expired: dict[RequestId, float] = {}
        self.in_flight: dict[CallId, Ask] = {}
        self.max_in_flight = 0
        self.slot_seconds_by_tenant: defaultdict[TenantId, float] = defaultdict(float)
        self.slot_seconds_by_payer: defaultdict[PayerId, float] = defaultdict(float)
        self.busy_seconds = 0.0
        self.on_grant: list[Callable[[Ask], None]] = []
        self.on_step: list[Callable[[], None]] = []
        self._call_seconds = call_seconds
        self._offered: dict[RequestId, tuple[Ask, float, float | None]] = {}
        self._by_tenant: Counter[TenantId] = Counter()
        self._by_payer: Counter[PayerId] = Counter()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._wakeup: float | None = None

    @property
    def waiting(self) -> list[tuple[Ask, float, float | None]]:
        """Asks not granted yet, when they were offered, and the wait they were told."""
        return list(self._offered.values())

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Let it happen then."""
        heapq.heappush(self._events, (time, next(self._numbers), event))

    def offer(self, ask: Ask) -> None:
        """Now."""
        told = self.scheduler.offer(ask, self.now)
        self._offered[ask.request_id] = ask, self.now, getattr(told, "estimated_wait_seconds", None)

    def run(self, until: float) -> None:
        """Go on until that time."""
        while self._events and self._events[0][0] <= until:
            time, _, event = heapq.heappop(self._events)
            self._pass_time(time)
            event()
            self._pump()
        self._pass_time(until)

    def _pass_time(self, time: float) -> None:
        passed = time - self.now
        if passed > 0:
            for tenant_id, calls in self._by_tenant.items():
                self.slot_seconds_by_tenant[tenant_id] += calls * passed
            for payer_id, calls in self._by_payer.items():
                self.slot_seconds_by_payer[payer_id] += calls * passed
            self.busy_seconds += len(self.in_flight) * passed
            self.now = time

    def _pump(self) -> None:
        for request_id in self.scheduler.expired(self.now):
            self.expired[request_id] = self.now
            self._offered.pop(request_id, None)
        while (grant := self.scheduler.grant(self.now)) is not None:
            self._begin(grant)
        for step in self.on_step:
            step()
        wakeup = self.scheduler.next_wakeup(self.now)
        if wakeup is not None and (self._wakeup is None or wakeup < self._wakeup):
            self._wakeup = wakeup
            self.at(wakeup, self._woken)

    def _woken(self) -> None:
        self._wakeup = None

    def _begin(self, grant: Grant) -> None:
        ask = self._offered[grant.waiters[0]][0]
        for request_id in grant.waiters:
            asked, at, estimated = self._offered.pop(request_id)
            self.waits.append(Waited(asked, at, self.now, estimated))
        seconds = self._call_seconds(ask)
        self.in_flight[grant.call_id] = ask
        self.max_in_flight = max(self.max_in_flight, len(self.in_flight))
        self._by_tenant[ask.tenant_id] += 1
        self._by_payer[ask.payer_id] += 1
        self.at(self.now + min(seconds, VENDOR_HOLD_SECONDS), lambda: self._end(grant.call_id))
        if seconds <= CLIENT_TIMEOUT_SECONDS:
            self.at(self.now + seconds, lambda: self._settle(grant.call_id, CallEnd.ANSWERED))
        else:
            self.at(self.now + CLIENT_TIMEOUT_SECONDS, lambda: self._settle(grant.call_id, CallEnd.TIMED_OUT))
        for listener in self.on_grant:
            listener(ask)

    def _end(self, call_id: CallId) -> None:
        ask = self.in_flight.pop(call_id)
        self._by_tenant[ask.tenant_id] -= 1
        self._by_payer[ask.payer_id] -= 1

    def _settle(self, call_id: CallId, end: CallEnd) -> None:
        self.scheduler.settle(call_id, end, self.now)


class Asks:
    """Makes asks, each for a question of its own unless told otherwise."""

    def __init__(self, random: Random, payers: int = 20) -> None:
        self._random = random
        self._numbers = count(1)
        self._payers = [PayerId(f"payer-{number}") for number in range(payers)]

    def make(
        self,
        now: float,
        *,
        tenant: str = "tenant",
        payer: str | None = None,
        priority: Priority = Priority.INTERACTIVE,
        seconds: float = float("inf"),
        question: str | None = None,
    ) -> Ask:
        number = next(self._numbers)
        return Ask(
            request_id=RequestId(f"request-{number}"),
            tenant_id=TenantId(tenant),
            payer_id=self._random.choice(self._payers) if payer is None else PayerId(payer),
            question_key=question or f"question-{number}",
            priority=priority,
            deadline=now + seconds,
        )


def stream(simulation: Simulation, random: Random, rate: float, make: Callable[[], Ask]) -> None:
    """Asks come at random, `rate` a second."""

    def arrive() -> None:
        simulation.offer(make())
        simulation.at(simulation.now + random.expovariate(rate), arrive)

    simulation.at(random.expovariate(rate), arrive)


def backlog(simulation: Simulation, depth: int, make: Callable[[], Ask], mine: Callable[[Ask], bool]) -> None:
    """So many asks always wait: whenever one of `mine` is granted, another comes."""

    def fill() -> None:
        for _ in range(depth):
            simulation.offer(make())

    def refill(granted: Ask) -> None:
        if mine(granted):
            simulation.at(simulation.now, lambda: simulation.offer(make()))

    simulation.at(simulation.now, fill)
    simulation.on_grant.append(refill)
