"""The account's concurrency limit, counted as the clearinghouse counts it."""

from __future__ import annotations

from collections import Counter

from bus.ids import PayerId


class VendorSlots:
    """Calls in flight, those abandoned by their caller included, and what became of all calls.

    `calls` counts every well-formed real-time check that came in. `refused` counts those of them that were refused for
    being over the slots, and no others: what the payer SIM429 refuses is not in it. `malformed` counts requests, of any
    kind, that were answered with HTTP 400. `abandoned` counts callers that went away before their answer.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._in_flight: Counter[PayerId] = Counter()
        self._max_in_flight: Counter[PayerId] = Counter()
        self._calls: Counter[PayerId] = Counter()
        self._in_flight_now = 0
        self._max_in_flight_ever = 0
        self._refused = 0
        self._malformed = 0
        self._abandoned = 0

    def called(self, payer_id: PayerId) -> None:
        """A well-formed check came in."""
        self._calls[payer_id] += 1

    def enter(self, payer_id: PayerId) -> bool:
        """Take a slot; False, counted as refused, if all are taken."""
        if self._in_flight_now >= self._slots:
            self._refused += 1
            return False
        self._in_flight_now += 1
        self._in_flight[payer_id] += 1
        self._max_in_flight_ever = max(self._max_in_flight_ever, self._in_flight_now)
        self._max_in_flight[payer_id] = max(self._max_in_flight[payer_id], self._in_flight[payer_id])
        return True

    def leave(self, payer_id: PayerId) -> None:
        """The call's time is up; to be said before its answer goes out, so that nobody who has it counts twice."""
        self._in_flight_now -= 1
        self._in_flight[payer_id] -= 1

    def abandoned(self) -> None:
        """A caller went away; its call goes on."""
        self._abandoned += 1

    def malformed(self) -> None:
        """A request that could not be understood came in."""
        self._malformed += 1

    def stats(self) -> dict[str, object]:
        """The counts since the start; `by_payer` has an entry for each payer that was called."""
        return {
            "in_flight": self._in_flight_now,
            "max_in_flight": self._max_in_flight_ever,
            "calls": self._calls.total(),
            "refused": self._refused,
            "malformed": self._malformed,
            "abandoned": self._abandoned,
            "by_payer": {
                payer_id: {
                    "calls": calls,
                    "in_flight": self._in_flight[payer_id],
                    "max_in_flight": self._max_in_flight[payer_id],
                }
                for payer_id, calls in sorted(self._calls.items())
            },
        }
