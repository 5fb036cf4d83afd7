"""Every order of events Hypothesis can think of, against a vendor that counts by itself and a book of who waits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bus.events import Priority
from bus.ids import CallId, PayerId, RequestId
from scheduler.admission import Ask, CallEnd, Grant, Joined
from scheduler.core import AdmissionCore
from scheduler.policy import AdmissionPolicy, BreakerPolicy
from tests.scheduler.asks import ask
from tests.scheduler.simulation import numbered_ids

SLOTS, CAP, LEASE_SECONDS = 4, 2, 20.0
POLICY = AdmissionPolicy(
    slots=SLOTS,
    slots_per_payer=CAP,
    lease_seconds=LEASE_SECONDS,
    breaker=BreakerPolicy(failures=3, run_seconds=8.0, open_seconds=6.0),
)
QUARANTINED = (CallEnd.TIMED_OUT, CallEnd.LOST)
Key = tuple[str, str]


def key_of(wanted: Ask | Grant) -> Key:
    return wanted.tenant_id, wanted.question_key


class AdmissionMachine(RuleBasedStateMachine):
    """The vendor's book: `counted`, when it stops counting each call at the latest. Ours: who waits, for which call."""

    def __init__(self) -> None:
        super().__init__()
        self.core = self.make()
        self.now = 0.0
        self.numbers = count(1)
        self.counted: dict[CallId, tuple[PayerId, float]] = {}
        self.live: dict[CallId, Grant] = {}
        self.settled: list[CallId] = []
        self.waiting: dict[RequestId, Ask] = {}
        self.on_call: dict[RequestId, CallId] = {}
        self.ended: dict[RequestId, str] = {}

    def make(self) -> AdmissionCore:
        """What is tried."""
        return AdmissionCore(POLICY, numbered_ids())

    # What happens.

    @initialize(held=st.integers(0, SLOTS + 2))
    def start(self, held: int) -> None:
        for number in range(held):
            payer_id = PayerId(f"payer-{number % 2}")
            self.core.hold(CallId(f"old-{number}"), payer_id, 3.0 + number, self.now)
            self.counted[CallId(f"old-{number}")] = payer_id, 3.0 + number

    @rule(
        tenant=st.sampled_from("ab"),
        payer=st.sampled_from(("payer-0", "payer-1", "payer-2")),
        question=st.sampled_from("xyz"),
        priority=st.sampled_from(Priority),
        seconds=st.sampled_from((0.0, 0.5, 5.0, 40.0)),
        delay=st.sampled_from((0.0, 0.0, 2.0)),
    )
    def offer(  # noqa: PLR0917  # drawn by name
        self, tenant: str, payer: str, question: str, priority: Priority, seconds: float, delay: float
    ) -> None:
        wanted = ask(
            f"request {next(self.numbers)}",
            tenant=tenant,
            payer=payer,
            question=f"{question} of {payer}",
            priority=priority,
            deadline=self.now + seconds,
            not_before=self.now + delay,
        )
        told = self.core.offer(wanted, self.now)
        self.waiting[wanted.request_id] = wanted
        joinable = [
            call_id
            for call_id, grant in self.live.items()
            if key_of(grant) == key_of(wanted) and grant.lease_expires > self.now
        ]
        if isinstance(told, Joined):
            assert joinable == [told.call_id]
            self.on_call[wanted.request_id] = told.call_id
        else:
            assert not joinable
            assert told.queue_position >= 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def offer_again(self, data: st.DataObject) -> None:
        wanted = data.draw(st.sampled_from(list(self.waiting.values())))
        if wanted.deadline > self.now:
            told = self.core.offer(wanted, self.now)
            assert isinstance(told, Joined) == (wanted.request_id in self.on_call)

    @rule()
    def grant(self) -> None:
        self.granted()

    def granted(self) -> bool:
        before = self.in_flight()
        grant = self.core.grant(self.now)
        if grant is None:
            return False
        assert len(before) < SLOTS
        assert before.count(grant.payer_id) < CAP
        assert not [one for one in self.live_now() if key_of(one) == key_of(grant)], "one flight per key"
        assert not [one for one in self.live_now() if one.probe and one.payer_id == grant.payer_id and grant.probe]
        waiters = self.waiters_in_time(lambda request_id, asked: key_of(asked) == key_of(grant))
        assert set(grant.waiters) == {request_id for request_id in waiters if request_id not in self.on_call}
        assert min(self.waiting[request_id].not_before for request_id in grant.waiters) <= self.now
        for request_id in grant.waiters:
            self.on_call[request_id] = grant.call_id
        self.live[grant.call_id] = grant
        self.counted[grant.call_id] = grant.payer_id, grant.lease_expires
        return True

    @precondition(lambda self: self.live)
    @rule(data=st.data(), end=st.sampled_from(CallEnd))
    def settle(self, data: st.DataObject, end: CallEnd) -> None:
        call_id = data.draw(st.sampled_from(list(self.live)))
        waiters = self.waiters_in_time(lambda request_id, asked: self.on_call.get(request_id) == call_id)
        settled = self.core.settle(call_id, end, self.now)
        del self.live[call_id]
        self.settled.append(call_id)
        if end not in QUARANTINED:
            del self.counted[call_id]
        assert set(settled.waiters) == waiters
        for request_id in settled.waiters:
            self.end(request_id, "settled")

    @precondition(lambda self: self.settled)
    @rule(data=st.data(), end=st.sampled_from(CallEnd))
    def settle_again(self, data: st.DataObject, end: CallEnd) -> None:
        assert self.core.settle(data.draw(st.sampled_from(self.settled)), end, self.now).waiters == ()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(list(self.waiting)))
        assert self.core.leave(request_id, self.now)
        self.end(request_id, "left")

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def leave_again(self, data: st.DataObject) -> None:
        assert not self.core.leave(data.draw(st.sampled_from(list(self.ended))), self.now)

    @rule()
    def expire(self) -> None:
        expired = self.core.expired(self.now)
        assert set(expired) == {request_id for request_id, asked in self.waiting.items() if asked.deadline <= self.now}
        for request_id in expired:
            self.end(request_id, "expired")

    @rule(payer=st.sampled_from(("payer-0", "payer-2")))
    def payer_known_to_be_down(self, payer: str) -> None:
        self.core.open_breaker(PayerId(payer), self.now)

    @rule(seconds=st.sampled_from((0.25, 1.0, 4.0, 30.0)))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def sleep_until_woken(self) -> None:
        """Between what is said to be the next moment and now nothing happens, and that moment is not now."""
        self.expire()
        while self.granted():
            pass
        wakeup = self.core.next_wakeup(self.now)
        assert wakeup is None or wakeup > self.now
        just_before = self.now + 100.0 if wakeup is None else wakeup - min(1e-3, (wakeup - self.now) / 2)
        self.now = just_before
        assert self.core.grant(just_before) is None
        assert self.core.expired(just_before) == ()
        self.now = just_before if wakeup is None else wakeup

    # What always holds.

    @invariant()
    def a_slot_is_held_exactly_by_what_the_vendor_may_count(self) -> None:
        status = self.core.status(self.now)
        assert status.held == len(self.in_flight())
        assert sum(payer.in_flight for payer in status.payers) == status.held

    @invariant()
    def what_waits_is_counted_once_per_question(self) -> None:
        queued = {
            key_of(asked)
            for request_id, asked in self.waiting.items()
            if request_id not in self.on_call and asked.deadline > self.now
        }
        assert sum(one.waiting for one in self.core.status(self.now).classes) == len(queued)

    def teardown(self) -> None:
        for call_id in list(self.live):
            for request_id in self.core.settle(call_id, CallEnd.ANSWERED, self.now).waiters:
                self.end(request_id, "settled")
        self.now += 2 * LEASE_SECONDS + 40.0
        for request_id in self.core.expired(self.now):
            self.end(request_id, "expired")
        status = self.core.status(self.now)
        assert not self.waiting, "every request ended"
        assert status.held == 0, "no slot leaked"
        assert status.tenants == ()
        assert self.core.next_wakeup(self.now) is None

    # The books.

    def end(self, request_id: RequestId, how: str) -> None:
        assert request_id not in self.ended, "ended once"
        self.ended[request_id] = how
        del self.waiting[request_id]
        self.on_call.pop(request_id, None)

    def in_flight(self) -> list[PayerId]:
        return [payer_id for payer_id, until in self.counted.values() if until > self.now]

    def live_now(self) -> list[Grant]:
        return [grant for grant in self.live.values() if grant.lease_expires > self.now]

    def waiters_in_time(self, mine: Callable[[RequestId, Ask], bool]) -> set[RequestId]:
        return {
            request_id
            for request_id, asked in self.waiting.items()
            if asked.deadline > self.now and mine(request_id, asked)
        }


@pytest.mark.unmeasured  # it draws its steps
def test_bar_02_no_slot_is_leaked_or_freed_twice_whatever_happens_in_whatever_order() -> None:
    run_state_machine_as_test(
        AdmissionMachine, settings=settings(max_examples=120, stateful_step_count=40, deadline=None)
    )
