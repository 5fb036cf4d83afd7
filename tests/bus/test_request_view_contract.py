"""What every view of requests promises, whichever log it is a view of."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from bus.events import Event, Purpose
from bus.fold import RequestState, RequestStatus
from bus.ids import CallId, MemberId, RequestId, TenantId
from tests.bus.conftest import (
    NOON,
    AnyLog,
    answered,
    cancelled,
    completed,
    enqueued,
    failed,
    question,
    scheduled,
    started,
    submitted,
    timed_out,
)

T1, T2, M1, ME = TenantId("t1"), TenantId("t2"), MemberId("m1"), "m1"
ANY: frozenset[RequestStatus] = frozenset()


def in_call(request_id: str, call_id: str) -> list[Event]:
    """A request up to its call; the lease ends 125 s after noon."""
    first = submitted(request_id)
    waiting = enqueued(first, time=NOON)
    leased = scheduled(waiting, call_id, time=NOON)
    return [first, waiting, leased, started(leased, call_id, time=NOON)]


async def page_ids(log: AnyLog, first: int = 10, before: int | None = None, **filters: object) -> list[str]:
    member_id, statuses = filters.get("member_id"), filters.get("statuses", ANY)
    page = await log.page(T1, member_id=member_id, statuses=statuses, first=first, before=before)  # type: ignore[arg-type]  # filters are passed on as given
    return [state.request_id for state in page.requests]


async def open_ids(log: AnyLog) -> list[str]:
    return [state.request_id async for state in log.open_requests()]


async def unaccounted(log: AnyLog, seconds: float = 0) -> list[CallId | None]:
    found = await log.calls_unaccounted(NOON + timedelta(seconds=seconds))
    return [getattr(one.event.data, "call_id", None) for one in found]


async def test_a_request_is_seen_at_once_as_its_events_tell_it(log: AnyLog) -> None:
    events = in_call("r1", "c1")
    await log.append([*events, completed(events[-1], plan_name="Gold")])
    state = await log.get(T1, RequestId("r1"))
    assert state is not None
    assert (state.status, state.sequence, state.member_id) == (RequestStatus.COMPLETED, 5, M1)
    assert state.coverage is not None and state.coverage.plan_name == "Gold"


async def test_a_request_is_its_tenants_own(log: AnyLog) -> None:
    await log.append([submitted("r1")])
    assert await log.get(T2, RequestId("r1")) is None
    assert await log.get(T1, RequestId("r2")) is None


async def test_listings_are_newest_first_by_submission_and_page_without_repeat(log: AnyLog) -> None:
    requests = [submitted(f"r{number}") for number in range(5)]
    await log.append(requests)
    await log.append([submitted("foreign", tenant="t2"), enqueued(requests[0])])
    page = await log.page(T1, member_id=None, statuses=ANY, first=2, before=None)
    assert [state.request_id for state in page.requests] == ["r4", "r3"]
    assert page.has_next
    rest = await log.page(T1, member_id=None, statuses=ANY, first=3, before=page.places[-1])
    assert [state.request_id for state in rest.requests] == ["r2", "r1", "r0"]
    assert rest.requests[-1].status is RequestStatus.ENQUEUED
    assert not rest.has_next


async def test_listings_can_be_of_one_member_and_of_some_statuses(log: AnyLog) -> None:
    mine, other = submitted("r1"), submitted("r2", member="m2")
    await log.append([mine, other, submitted("r3"), submitted("r4", tenant="t2")])
    await log.append([cancelled(mine), enqueued(other)])
    assert await page_ids(log, member_id=M1) == ["r3", "r1"]
    assert await page_ids(log, statuses=frozenset({RequestStatus.CANCELLED, RequestStatus.ENQUEUED})) == ["r2", "r1"]
    assert await page_ids(log, member_id=M1, statuses=frozenset({RequestStatus.CANCELLED})) == ["r1"]
    assert await page_ids(log, member_id=M1, statuses=frozenset({RequestStatus.FAILED})) == []


async def test_events_that_tell_nothing_of_a_request_leave_its_status(log: AnyLog) -> None:
    first = submitted("r1")
    waiting = enqueued(first)
    second = msgspec.structs.replace(first, sequence=3)
    ended_call = msgspec.structs.replace(answered(), subject="r1", sequence=4)
    await log.append([first, waiting, second, ended_call])
    assert await page_ids(log, statuses=frozenset({RequestStatus.ENQUEUED})) == ["r1"]
    assert await page_ids(log, statuses=frozenset({RequestStatus.SUBMITTED})) == []


async def test_open_requests_are_those_that_have_not_ended_oldest_first(log: AnyLog) -> None:
    one, two, three = submitted("r1"), submitted("r2"), submitted("r3", tenant="t2")
    await log.append([one, two, three])
    await log.append([enqueued(three), cancelled(two), enqueued(one)])
    assert await open_ids(log) == ["r1", "r3"]
    states: list[RequestState] = [state async for state in log.open_requests()]
    assert {state.status for state in states} == {RequestStatus.ENQUEUED}


async def test_the_people_asked_about_are_each_counted_once_and_since_a_time(log: AnyLog) -> None:
    hour = timedelta(hours=1)
    await log.append(
        [
            submitted("r1", last_name="Old", time=NOON - hour),
            submitted("r2", last_name="Rivera"),
            submitted("r3", last_name="RIVERA"),
            submitted("r4", last_name="Refreshed", purpose=Purpose.REFRESH),
            submitted("r5", last_name="Elsewhere", member="m2"),
            submitted("r6", last_name="Elsewhere", tenant="t2"),
        ]
    )
    rivera = question(last_name="Rivera").person_key(T1)
    old = question(last_name="Old").person_key(T1)
    new = question(last_name="New").person_key(T1)
    assert await log.people_asked_about(T1, M1, ME, NOON) == {rivera}
    assert await log.people_asked_about(T1, M1, ME, NOON - hour) == {rivera, old}
    await log.append([submitted("r7", last_name="New", time=NOON + hour)])
    assert await log.people_asked_about(T1, M1, ME, NOON - hour) == {rivera, old, new}
    assert await log.people_asked_about(T1, M1, ME, NOON + hour) == {new}
    assert await log.people_asked_about(T1, MemberId("m9"), ME, NOON) == frozenset()


async def test_the_people_a_service_asked_about_for_a_member_are_not_the_members(log: AnyLog) -> None:
    assert await log.people_asked_about(T1, M1, ME, NOON) == frozenset()
    await log.append([submitted("r1", last_name="Rivera"), submitted("r2", last_name="Served", caller="backend")])
    assert await log.people_asked_about(T1, M1, ME, NOON) == {question(last_name="Rivera").person_key(T1)}
    assert await log.people_asked_about(T1, M1, "backend", NOON) == {question(last_name="Served").person_key(T1)}


async def test_a_call_is_unaccounted_until_its_lease_ends(log: AnyLog) -> None:
    await log.append(in_call("r1", "c1"))
    assert await unaccounted(log) == ["c1"]
    assert await unaccounted(log, 124) == ["c1"]
    assert await unaccounted(log, 125) == []


async def test_a_call_of_several_requests_is_told_once_with_its_last_lease(log: AnyLog) -> None:
    first, second = in_call("r1", "c1"), in_call("r2", "c1")
    await log.append([*first, *second[:3], started(second[2], "c1", time=NOON, lease_seconds=200)])
    assert await unaccounted(log) == ["c1"]
    assert await unaccounted(log, 150) == ["c1"]


async def test_a_call_is_accounted_for_by_each_event_that_proves_its_end(log: AnyLog) -> None:
    calls = {call: in_call(f"of-{call}", call) for call in ("c1", "c2", "c3", "c4", "c5", "c6")}
    await log.append([event for events in calls.values() for event in events])
    assert await unaccounted(log) == list(calls)
    await log.append([completed(calls["c1"][-1], "c1")])
    assert await unaccounted(log) == ["c2", "c3", "c4", "c5", "c6"]
    await log.append([failed(calls["c2"][-1], ended_call="c2")])
    await log.append([enqueued(calls["c3"][-1], ended_call="c3")])
    await log.append([timed_out(calls["c4"][-1]), cancelled(calls["c5"][-1]), failed(calls["c6"][-1])])
    assert await unaccounted(log) == ["c4", "c5", "c6"]
    await log.append([answered("c4")])
    assert await unaccounted(log) == ["c5", "c6"]


async def test_a_call_whose_end_is_known_stays_ended(log: AnyLog) -> None:
    late = in_call("r1", "c1")
    await log.append([answered("c1"), *late])
    assert await unaccounted(log) == []


async def test_a_refused_event_ends_no_call(log: AnyLog) -> None:
    events = in_call("r1", "c1")
    await log.append(events)
    assert await log.append([completed(events[1], "c1")]) == [None]
    assert await unaccounted(log) == ["c1"]


async def test_deleted_requests_are_gone_from_every_view(log: AnyLog) -> None:
    events = in_call("r1", "c1")
    await log.append([*events, timed_out(events[-1])])
    assert await log.people_asked_about(T1, M1, ME, NOON)
    await log.delete_before(events[0].topic, NOON + timedelta(days=1))
    assert await log.get(T1, RequestId("r1")) is None
    assert await page_ids(log) == []
    assert await unaccounted(log) == []
    assert await log.people_asked_about(T1, M1, ME, NOON) == frozenset()


async def test_a_request_that_lost_its_first_events_is_none(log: AnyLog) -> None:
    first = submitted("r1")
    await log.append([first, cancelled(first, time=NOON + timedelta(hours=2))])
    assert await log.delete_before(first.topic, NOON + timedelta(hours=1)) == 1
    assert await log.get(T1, RequestId("r1")) is None
    assert await page_ids(log) == []
    (again,) = await log.append([submitted("r1", time=NOON + timedelta(hours=3))])
    assert again is not None
    state = await log.get(T1, RequestId("r1"))
    assert state is not None and state.status is RequestStatus.SUBMITTED


async def test_several_requests_are_told_at_once_whatever_their_tenant(log: AnyLog) -> None:
    await log.append([*in_call("r1", "c1"), submitted("r2", tenant="t2"), submitted("r3")])
    found = await log.states([RequestId("r2"), RequestId("r1"), RequestId("none")])
    assert {(state.request_id, state.status) for state in found} == {
        ("r1", RequestStatus.STARTED),
        ("r2", RequestStatus.SUBMITTED),
    }
    assert await log.states([]) == []
