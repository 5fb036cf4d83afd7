"""One payer's circuit breaker: a payer that does not answer is left alone, then tried with one call."""

from __future__ import annotations

from bus.ids import CallId
from scheduler.admission import BreakerState
from scheduler.policy import BreakerPolicy


class Breaker:
    """Closed until failures come in a row, then open for a while, then half-open: one probe decides.

    Once open, only the probe's end counts: calls made before tell nothing of whether the payer answers now.
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._first_failure = 0.0
        self._open_until: float | None = None
        self._probe: CallId | None = None

    def state(self, now: float) -> BreakerState:
        """Open turns half-open by itself, when its time is up."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def admits(self, now: float) -> bool:
        """Whether a call may be made: any while closed, one while half-open."""
        return self._open_until is None or (self._probe is None and now >= self._open_until)

    @property
    def untroubled(self) -> bool:
        """Nothing to remember."""
        return self._open_until is None and self._failures == 0

    def opens_at(self, now: float) -> float | None:
        """When a probe may be sent, for a payer that is left alone until then."""
        return self._open_until if self._open_until is not None and now < self._open_until else None

    def open(self, now: float) -> None:
        """The payer is down."""
        self._open_until = now + self._policy.open_seconds

    def send_probe(self, call_id: CallId) -> None:
        """This is the one call that finds out."""
        self._probe = call_id

    def give_back_probe(self, call_id: CallId) -> None:
        """If this was the probe, it told nothing: another may be sent."""
        if call_id == self._probe:
            self._probe = None

    def answered(self, call_id: CallId) -> bool:
        """The payer answered this call; whether the breaker closed."""
        if self._open_until is None:
            self._failures = 0
            return False
        if call_id != self._probe:
            return False
        self._open_until = self._probe = None
        self._failures = 0
        return True

    def failed(self, call_id: CallId, now: float) -> bool:
        """The payer did not answer this call; whether the breaker opened, not counting again after a failed probe."""
        if self._open_until is not None:
            if call_id == self._probe:
                self._probe = None
                self.open(now)
            return False
        if self._failures == 0:
            self._first_failure = now
        self._failures += 1
        lasting = self._failures >= 2 and now - self._first_failure >= self._policy.run_seconds
        if self._failures < self._policy.failures and not lasting:
            return False
        self.open(now)
        return True
