"""Bar 14: who leaves or runs out of time is gone at once, and nothing begins that could not end in time."""

from __future__ import annotations

from bus.ids import RequestId
from scheduler.admission import CallEnd, Joined, QueuePlace
from tests.scheduler.asks import ask, granted, names
from tests.scheduler.test_core import call, core_of, grant


def test_bar_14_a_cancelled_caller_is_gone_at_once_and_its_call_keeps_the_slot() -> None:
    core = core_of()
    core.offer(ask("a", question="q"), 0.0)
    made = grant(core, 0.0)

    assert core.leave(RequestId("a"), 1.0)
    assert core.status(1.0).held == 1
    assert not core.leave(RequestId("a"), 1.0)
    # Whoever asks the same meanwhile gets its answer.
    assert core.offer(ask("b", question="q"), 2.0) == Joined(call_id=made.call_id, lease_expires=made.lease_expires)
    assert core.settle(made.call_id, CallEnd.ANSWERED, 3.0).waiters == ("b",)


def test_bar_14_nothing_begins_that_its_payer_would_not_answer_in_time() -> None:
    core = core_of()
    for number in range(5):
        call(core, number * 10.0, CallEnd.ANSWERED, 10.0)
    core.offer(ask("late", deadline=109.0), 100.0)
    core.offer(ask("in time", deadline=110.0), 100.0)

    assert names(granted(core, 100.0)) == ["in time"]
    assert core.next_wakeup(100.0) == 109.0
    assert core.expired(108.9) == ()
    assert core.expired(109.0) == ("late",)
    assert core.expired(109.0) == ()


def test_a_payer_that_was_slow_once_is_not_slow_for_ever() -> None:
    core = core_of()
    for number in range(5):
        call(core, number * 10.0, CallEnd.ANSWERED, 10.0)
    core.offer(ask("hurried", deadline=700.0), 50.0)
    core.offer(ask("short", deadline=105.0), 100.0)
    core.settle(grant(core, 100.0).call_id, CallEnd.ANSWERED, 101.0)

    assert core.grant(100.0) is None
    core.leave(RequestId("short"), 102.0)
    core.offer(ask("short again", deadline=695.0), 689.0)
    assert core.grant(689.0) is not None  # what was known is older than ten minutes


def test_a_call_set_aside_is_made_when_its_payer_turns_out_faster() -> None:
    core = core_of()
    for number in range(5):
        call(core, number * 10.0, CallEnd.ANSWERED, 10.0)
    core.offer(ask("slow"), 60.0)
    slow = grant(core, 60.0)
    core.offer(ask("short", deadline=68.0), 60.0)
    core.offer(ask("shorter", deadline=61.0), 60.0)
    assert core.grant(60.0) is None
    assert core.next_wakeup(60.0) == 61.0
    assert core.place(RequestId("short"), 60.0) is not None

    assert core.leave(RequestId("shorter"), 60.0)
    core.settle(slow.call_id, CallEnd.ANSWERED, 60.5)
    for _ in range(5):
        call(core, 60.5, CallEnd.ANSWERED, 0.5)

    assert names(granted(core, 61.0)) == ["short"]


def test_a_call_set_aside_is_looked_at_again_when_what_was_known_is_old() -> None:
    core = core_of()
    for number in range(5):
        call(core, float(number), CallEnd.ANSWERED, 100.0)
    core.offer(ask("short", deadline=780.0), 690.0)
    assert core.grant(690.0) is None

    assert core.next_wakeup(690.0) == 700.0
    assert names(granted(core, 700.0)) == ["short"]


def test_a_call_that_was_left_while_set_aside_is_never_made() -> None:
    core = core_of()
    for number in range(5):
        call(core, float(number), CallEnd.ANSWERED, 100.0)
    core.offer(ask("short", deadline=780.0), 690.0)
    assert core.grant(690.0) is None
    core.leave(RequestId("short"), 690.0)

    assert core.next_wakeup(690.0) is None
    assert core.grant(705.0) is None


def test_a_later_deadline_brings_back_a_call_set_aside() -> None:
    core = core_of()
    for number in range(5):
        call(core, number * 10.0, CallEnd.ANSWERED, 10.0)
    core.offer(ask("short", question="q", deadline=65.0), 60.0)
    assert core.grant(60.0) is None

    core.offer(ask("patient", question="q", deadline=200.0), 60.0)

    assert grant(core, 60.0).waiters == ("short", "patient")


def test_who_expired_untold_may_leave_or_be_offered_again() -> None:
    core = core_of(slots=3)
    core.offer(ask("a", deadline=5.0, not_before=4.0), 0.0)
    core.offer(ask("b", deadline=5.0, not_before=4.0), 0.0)
    assert core.grant(6.0) is None
    assert core.next_wakeup(6.0) == 6.0

    assert core.leave(RequestId("a"), 6.0)
    core.offer(ask("b", deadline=9.0), 6.0)

    assert core.expired(6.0) == ()
    assert grant(core, 6.0).waiters == ("b",)


def test_a_retry_waits_until_it_is_due() -> None:
    core = core_of()
    told = core.offer(ask("retry", not_before=4.0), 0.0)

    assert isinstance(told, QueuePlace)
    assert core.grant(3.9) is None
    assert core.next_wakeup(3.9) == 4.0
    assert core.grant(4.0) is not None
    core.offer(ask("gone", not_before=9.0), 4.0)
    assert core.leave(RequestId("gone"), 4.0)
    assert core.grant(9.0) is None
