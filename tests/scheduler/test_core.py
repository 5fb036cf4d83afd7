"""Single decisions of the core: the bars that are rules rather than figures, and the corners of the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import Priority
from bus.ids import CallId, PayerId, RequestId, TenantId
from scheduler.admission import Ask, BreakerChange, BreakerState, CallEnd, Grant, Joined, QueuePlace
from scheduler.core import AdmissionCore
from scheduler.errors import QueueFull
from scheduler.policy import AdmissionPolicy
from scheduler.slots import Lease, Slots
from tests.scheduler.asks import ask, granted, names
from tests.scheduler.simulation import numbered_ids

PAYER = PayerId("payer")


def core_of(*, slots: int = 15, slots_per_payer: int = 5, queue_limit: int = 10_000) -> AdmissionCore:
    policy = AdmissionPolicy(slots=slots, slots_per_payer=slots_per_payer, queue_limit=queue_limit)
    return AdmissionCore(policy, numbered_ids())


def grant(core: AdmissionCore, now: float) -> Grant:
    made = core.grant(now)
    assert made is not None
    return made


def call(
    core: AdmissionCore, now: float, end: CallEnd, seconds: float, wanted: Ask | None = None
) -> BreakerChange | None:
    """One call from offer to end; what its payer's breaker made of it."""
    core.offer(wanted or ask(deadline=now + 1_000.0), now)
    return core.settle(grant(core, now).call_id, end, now + seconds).breaker


def breaker(core: AdmissionCore, now: float) -> BreakerState:
    return next(payer.breaker for payer in core.status(now).payers if payer.payer_id == PAYER)


# Slots.


@pytest.mark.parametrize("end", [CallEnd.ANSWERED, CallEnd.UNREACHABLE, CallEnd.FAILED, CallEnd.NOT_MADE])
def test_bar_02_a_call_proven_over_frees_its_slot(end: CallEnd) -> None:
    core = core_of()
    core.offer(ask(), 0.0)
    call_id = grant(core, 0.0).call_id

    core.settle(call_id, end, 3.0)

    assert core.status(3.0).held == 0


@pytest.mark.parametrize("end", [CallEnd.TIMED_OUT, CallEnd.LOST])
def test_bar_02_a_call_not_proven_over_keeps_its_slot_until_its_lease_ends(end: CallEnd) -> None:
    core = core_of()
    core.offer(ask(), 0.0)
    core.settle(grant(core, 0.0).call_id, end, 120.0)

    assert core.status(124.9).held == 1
    assert core.status(125.0).held == 0


def test_bar_02_a_second_settle_and_an_unknown_id_free_nothing() -> None:
    core = core_of(slots=3)
    core.offer(ask("a"), 0.0)
    core.offer(ask("b"), 0.0)
    first, _ = granted(core, 0.0)
    core.settle(first.call_id, CallEnd.ANSWERED, 1.0)

    again = core.settle(first.call_id, CallEnd.ANSWERED, 2.0)
    unknown = core.settle(CallId("made up"), CallEnd.ANSWERED, 2.0)

    assert again.waiters == unknown.waiters == ()
    assert core.status(2.0).held == 1


def test_bar_03_capacity_is_what_is_not_held_also_when_more_is_held_than_there_are_slots() -> None:
    core = core_of(slots=3)
    for number in range(5):
        core.hold(CallId(f"old-{number}"), PAYER, 10.0 + number, 0.0)
    core.hold(CallId("long gone"), PAYER, 0.0, 0.0)
    core.offer(ask(payer="other"), 0.0)

    assert core.status(0.0).held == 5
    assert core.grant(11.0) is None
    assert core.next_wakeup(11.0) == 12.0
    assert core.grant(12.0) is not None


@given(st.permutations(range(6)), st.lists(st.integers(0, 7), max_size=12))
def test_bar_03_capacity_is_the_number_of_leases_held_in_whatever_order_they_end(
    taken: list[int], released: list[int]
) -> None:
    slots, held = Slots(4), set[int]()
    for number in taken:
        slots.take(Lease(call_id=CallId(str(number)), payer_id=PayerId(f"payer {number % 2}"), expires=9.0))
        held.add(number)
        for over in released[number : number + 2]:
            assert slots.release(CallId(str(over))) == (over in held)
            held.discard(over)
        assert (slots.held, slots.free) == (len(held), 4 - len(held))
        assert slots.held_at(PayerId("payer 0")) == sum(one % 2 == 0 for one in held)


def test_a_call_whose_lease_ended_can_still_tell_its_waiters_but_no_one_joins_it() -> None:
    core = core_of()
    core.offer(ask("a", question="q"), 0.0)
    late = grant(core, 0.0)
    core.offer(ask("b", question="q"), 126.0)

    fresh = grant(core, 126.0)
    settled = core.settle(late.call_id, CallEnd.ANSWERED, 127.0)

    assert fresh.waiters == ("b",)
    assert settled.waiters == ("a",)
    assert core.status(127.0).held == 1
    assert core.settle(fresh.call_id, CallEnd.ANSWERED, 128.0).waiters == ("b",)


def test_a_call_that_nobody_settles_is_forgotten_with_its_last_waiter() -> None:
    core = core_of()
    core.offer(ask("a", deadline=200.0), 0.0)
    core.offer(ask("b", deadline=50.0), 0.0)
    lost, abandoned = granted(core, 0.0)

    assert core.expired(50.0) == ("b",)
    assert core.expired(200.0) == ("a",)
    assert core.settle(lost.call_id, CallEnd.ANSWERED, 201.0).waiters == ()
    assert core.settle(abandoned.call_id, CallEnd.ANSWERED, 201.0).waiters == ()
    assert core.next_wakeup(201.0) is None


# Classes, tenants, payers.


def test_the_most_urgent_class_goes_first_but_floors_come_before() -> None:
    core = core_of(slots=5)
    for priority in (Priority.BACKGROUND, Priority.ENROLLMENT, Priority.INTERACTIVE):
        for number in range(3):
            core.offer(ask(f"{priority} {number}", payer=f"{priority} {number}", priority=priority), 0.0)

    assert names(granted(core, 0.0)) == [
        "ENROLLMENT 0",
        "BACKGROUND 0",
        "INTERACTIVE 0",
        "INTERACTIVE 1",
        "INTERACTIVE 2",
    ]


def test_where_floors_would_take_every_slot_there_are_none() -> None:
    core = core_of(slots=2)
    for priority in (Priority.BACKGROUND, Priority.INTERACTIVE):
        for number in range(2):
            core.offer(ask(f"{priority} {number}", priority=priority), 0.0)

    assert names(granted(core, 0.0)) == ["INTERACTIVE 0", "INTERACTIVE 1"]


def test_a_tenant_is_served_in_order_and_past_a_payer_that_is_at_its_cap() -> None:
    core = core_of(slots_per_payer=2)
    for number in range(4):
        core.offer(ask(f"busy {number}", payer="busy"), 0.0)
    core.offer(ask("other", payer="other"), 0.0)

    assert names(granted(core, 0.0)) == ["busy 0", "busy 1", "other"]


def test_a_tenant_whose_payer_was_busy_may_catch_up_a_little_not_everything() -> None:
    core = core_of(slots=3, slots_per_payer=1)
    core.hold(CallId("old"), PAYER, 5_000.0, 0.0)
    core.offer(ask("held up", tenant="held up", deadline=10_000.0), 0.0)
    for now in range(0, 2_000, 10):
        call(core, float(now), CallEnd.ANSWERED, 10.0, ask(tenant="busy", payer="other", deadline=10_000.0))

    for number in range(100):
        for tenant in ("held up", "busy"):
            wanted = ask(tenant=tenant, payer=f"{tenant} {number}", deadline=10_000.0)
            core.offer(wanted, 2_000.0)
    turns = []
    for now in range(2_000, 2_500, 10):
        made = grant(core, float(now))
        turns.append(made.tenant_id)
        core.settle(made.call_id, CallEnd.ANSWERED, now + 10.0)

    # 120 s to catch up, a quantum of 60 s, and a call: not the 2,000 s it was held up.
    assert turns.index(TenantId("busy")) <= 19


def test_a_queue_that_is_full_says_when_to_come_back_but_takes_what_was_accepted() -> None:
    core = core_of(queue_limit=2)
    for _ in range(2):
        core.room(TenantId("tenant"), Priority.INTERACTIVE)
        core.offer(ask(), 0.0)

    with pytest.raises(QueueFull) as refused:
        core.room(TenantId("tenant"), Priority.INTERACTIVE)

    assert refused.value.retry_after_seconds >= 1
    assert isinstance(core.offer(ask(), 0.0), QueuePlace)


def test_neither_a_flood_of_batch_work_nor_another_tenant_fills_the_queue_for_people() -> None:
    core = core_of(queue_limit=4)
    for _ in range(4):
        core.offer(ask(priority=Priority.BACKGROUND), 0.0)
    core.room(TenantId("tenant"), Priority.INTERACTIVE)
    for _ in range(4):
        core.offer(ask(), 0.0)

    core.room(TenantId("another"), Priority.INTERACTIVE)
    with pytest.raises(QueueFull):
        core.room(TenantId("tenant"), Priority.INTERACTIVE)
    with pytest.raises(QueueFull):
        core.room(TenantId("tenant"), Priority.BACKGROUND)


# Deadlines and leaving.


# Coalescing.


def test_bar_15_the_same_question_is_one_call_and_inherits_urgency_and_time() -> None:
    core = core_of(slots=4)
    core.hold(CallId("old"), PayerId("old"), 50.0, 0.0)
    core.offer(ask("batch", question="q", priority=Priority.BACKGROUND, deadline=30.0, not_before=20.0), 0.0)
    core.offer(ask("person", question="q", deadline=60.0), 0.0)
    core.offer(ask("enrollment", priority=Priority.ENROLLMENT), 0.0)
    core.offer(ask("other person"), 0.0)

    assert [made.waiters for made in granted(core, 0.0)] == [
        ("enrollment",),
        ("batch", "person"),
        ("other person",),
    ]


def test_bar_15_who_leaves_takes_only_its_own_urgency_along() -> None:
    core = core_of(slots=4)
    core.offer(ask("batch", question="q", priority=Priority.BACKGROUND), 0.0)
    core.offer(ask("leader", question="q"), 0.0)
    core.leave(RequestId("leader"), 0.0)
    core.offer(ask("person"), 0.0)

    assert core.place(RequestId("batch"), 0.0) == QueuePlace(queue_position=2, estimated_wait_seconds=None)
    assert sorted(made.waiters for made in granted(core, 0.0)) == [("batch",), ("person",)]


def test_bar_15_a_leader_who_cancels_keeps_its_followers() -> None:
    core = core_of()
    core.offer(ask("leader", question="q"), 0.0)
    made = grant(core, 0.0)
    core.offer(ask("follower", question="q", deadline=2.0), 0.0)
    core.offer(ask("patient follower", question="q"), 0.0)
    core.leave(RequestId("leader"), 1.0)

    assert core.expired(2.0) == ("follower",)
    assert core.settle(made.call_id, CallEnd.FAILED, 3.0).waiters == ("patient follower",)


def test_bar_15_tenants_never_share_a_call() -> None:
    core = core_of()
    core.offer(ask("a", tenant="one", question="q"), 0.0)
    core.offer(ask("b", tenant="two", question="q"), 0.0)

    assert len(granted(core, 0.0)) == 2


def test_the_same_request_offered_again_changes_nothing() -> None:
    core = core_of()
    wanted = ask("a")
    assert core.offer(wanted, 0.0) == core.offer(wanted, 0.0)
    made = grant(core, 0.0)

    assert core.offer(wanted, 0.0) == Joined(call_id=made.call_id, lease_expires=made.lease_expires)
    assert core.grant(0.0) is None


# The breaker.


# Places.


def test_places_follow_classes_and_the_turns_of_tenants() -> None:
    core = core_of()
    for number in range(40):
        core.offer(ask(f"a{number}", tenant="a", payer=f"payer {number}"), 0.0)
    core.offer(ask("b0", tenant="b", payer="b"), 0.0)
    core.offer(ask("batch", tenant="c", payer="c", priority=Priority.BACKGROUND), 0.0)
    place = {name: core.place(RequestId(name), 0.0) for name in ("a0", "a39", "b0", "batch")}

    positions = {name: found.queue_position for name, found in place.items() if found is not None}
    assert positions["a0"] == 1
    assert positions["b0"] == 13  # behind the dozen that fit into the first quantum at 5 s each
    assert positions["a39"] == 41
    assert positions["batch"] == 42
    assert core.place(RequestId("nobody"), 0.0) is None


def test_a_place_passes_over_payers_that_are_shut() -> None:
    core = core_of()
    core.open_breaker(PAYER, 0.0)
    for number in range(9):
        core.offer(ask(tenant=f"tenant {number}"), 0.0)
        core.offer(ask(priority=Priority.BACKGROUND), 0.0)

    told = core.offer(ask(payer="other", tenant="last"), 0.0)
    own = core.offer(ask(tenant="last"), 0.0)

    assert told == QueuePlace(queue_position=1, estimated_wait_seconds=None)
    assert isinstance(own, QueuePlace)
    assert own.queue_position == 11


def test_an_estimate_knows_of_caps_of_pauses_and_of_payers_that_are_down() -> None:
    core = core_of()
    for number in range(6):
        call(core, number * 10.0, CallEnd.ANSWERED, 10.0)
    for _ in range(5):
        core.offer(ask(), 60.0)
        grant(core, 60.0)
    core.open_breaker(PayerId("down"), 60.0)

    capped = core.offer(ask(), 60.0)
    pausing = core.offer(ask(payer="free", not_before=67.0), 60.0)
    down = core.offer(ask(payer="down"), 60.0)
    free = core.offer(ask(payer="free"), 60.0)

    assert isinstance(capped, QueuePlace) and capped.estimated_wait_seconds == pytest.approx(2.0)
    assert isinstance(pausing, QueuePlace) and pausing.estimated_wait_seconds == pytest.approx(7.0)
    assert isinstance(down, QueuePlace) and down.estimated_wait_seconds == pytest.approx(60.0)
    assert isinstance(free, QueuePlace) and free.estimated_wait_seconds == 0.0


# Bounds.


def test_what_is_idle_is_forgotten() -> None:
    core = core_of()
    for number in range(300):
        call(core, float(number), CallEnd.ANSWERED, 0.5, ask(tenant=f"t{number}", payer=f"p{number}"))
    core.open_breaker(PAYER, 300.0)

    status = core.status(2_000.0)

    assert [payer.payer_id for payer in status.payers] == [PAYER]
    assert status.tenants == ()


def test_the_picture_counts_what_waits_and_what_is_in_flight() -> None:
    core = core_of(slots_per_payer=1)
    for number in range(3):
        core.offer(ask(tenant="t", priority=Priority.ENROLLMENT if number else Priority.INTERACTIVE), 0.0)
    granted(core, 0.0)

    status = core.status(0.0)

    assert (status.slots, status.held) == (15, 1)
    assert [(one.waiting, one.in_flight) for one in status.classes] == [(1, 0), (1, 1), (0, 0)]
    assert [(one.tenant_id, one.waiting, one.in_flight) for one in status.tenants] == [("t", 2, 1)]
    assert [(one.payer_id, one.waiting, one.in_flight) for one in status.payers] == [(PAYER, 2, 1)]
