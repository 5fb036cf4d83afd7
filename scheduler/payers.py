"""What admission knows of each payer: whether it answers, how long it takes, and whether it may be called."""

from __future__ import annotations

from collections.abc import Iterator

from bus.ids import CallId, PayerId
from scheduler.admission import BreakerChange, BreakerState
from scheduler.breaker import Breaker
from scheduler.policy import AdmissionPolicy, BreakerPolicy
from scheduler.slots import Slots
from scheduler.waits import Durations


class PayerRecord:
    """One payer."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.breaker = Breaker(policy)
        self.answer_times = Durations()
        """Of calls it answered: what a call that begins now may be expected to take. Its time-outs are left out, or a
        payer that hung for a while would never again be given the time to answer."""
        self.slot_times = Durations()
        """Of all its calls, however they ended: what they cost."""

    def can_answer_by(self, deadline: float, now: float) -> bool:
        """Whether a call that begins now would usually end in time."""
        left_seconds = deadline - now
        median = self.answer_times.median(now)
        return left_seconds > 0 and (median is None or left_seconds >= median)

    def forgettable(self, now: float) -> bool:
        """Whether nothing would be lost."""
        return self.breaker.untroubled and self.slot_times.mean(now) is None


class Payers:
    """Every payer that was asked lately or is down."""

    def __init__(self, policy: AdmissionPolicy, slots: Slots) -> None:
        self._policy = policy
        self._slots = slots
        self._records: dict[PayerId, PayerRecord] = {}
        self._down: set[PayerId] = set()

    def __getitem__(self, payer_id: PayerId) -> PayerRecord:
        record = self._records.get(payer_id)
        if record is None:
            record = self._records[payer_id] = PayerRecord(self._policy.breaker)
        return record

    def __iter__(self) -> Iterator[PayerId]:
        """Those remembered."""
        return iter(self._records)

    def shut(self, now: float) -> frozenset[PayerId]:
        """Those that no call may be made to: they are at their cap, or left alone."""
        busy = self._slots.payers_holding(self._policy.slots_per_payer)
        return busy.union(payer_id for payer_id in self._down if not self[payer_id].breaker.admits(now))

    def next_admission(self, payer_id: PayerId, now: float) -> tuple[float | None, ...]:
        """The moments at which a payer that is shut may admit a call by itself, as far as there are any."""
        return self[payer_id].breaker.opens_at(now), self._slots.next_end(payer_id)

    def is_down(self, payer_id: PayerId, now: float) -> None:
        """It was last known not to answer. A breaker that is open knows better: its probe stays when it was due."""
        if self[payer_id].breaker.state(now) is not BreakerState.CLOSED:
            return
        self[payer_id].breaker.open(now)
        self._down.add(payer_id)

    def answered(self, payer_id: PayerId, call_id: CallId) -> BreakerChange | None:
        """It answered this call."""
        if not self[payer_id].breaker.answered(call_id):
            return None
        self._down.discard(payer_id)
        return BreakerChange(payer_id=payer_id, available=True)

    def failed(self, payer_id: PayerId, call_id: CallId, now: float) -> BreakerChange | None:
        """It did not answer this call."""
        if not self[payer_id].breaker.failed(call_id, now):
            return None
        self._down.add(payer_id)
        return BreakerChange(payer_id=payer_id, available=False)

    def forget_idle(self, now: float) -> None:
        """Drop those of which nothing is known any more. One that is down stays: its return has to be told."""
        for payer_id in tuple(self._records):
            if self._records[payer_id].forgettable(now):
                del self._records[payer_id]
