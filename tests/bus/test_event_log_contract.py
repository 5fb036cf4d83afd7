"""What every event log promises, whether it refuses at its door or leaves that to the fold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from bus.errors import LogUnavailable
from bus.events import Event, Recorded
from bus.ids import MemberId, RequestId, TenantId
from bus.tally import Tally, folded
from tests.bus.conftest import (
    NOON,
    ClosableLog,
    answered,
    cancelled,
    completed,
    downtime,
    enqueued,
    scheduled,
    started,
    submitted,
)

T1, M1 = TenantId("t1"), MemberId("m1")
R1 = RequestId("r1")


def events_of(recorded: Sequence[Recorded]) -> list[Event]:
    return [one.event for one in recorded]


async def of_member(log: ClosableLog, member: str = "m1", tenant: str = "t1") -> list[Recorded]:
    return list(await log.read_member(TenantId(tenant), MemberId(member), after=0, limit=1_000))


async def counted(log: ClosableLog) -> list[Event]:
    """The member's events that count."""
    tally = Tally(log)
    return [recorded.event for recorded in await of_member(log) if await tally.counts(recorded)]


async def test_a_new_log_is_empty(event_log: ClosableLog) -> None:
    assert await of_member(event_log) == []
    assert await event_log.read_payers(after=0, limit=10) == []
    for span in (await event_log.member_span(T1, M1), await event_log.payers_span()):
        assert (span.floor, span.end) == (0, 0)


async def test_events_come_back_as_they_were_given_in_the_order_of_their_positions(event_log: ClosableLog) -> None:
    first = submitted()
    second = enqueued(first)
    third = scheduled(second)
    fourth = started(third)
    events = [first, second, third, fourth, completed(fourth), answered("c9")]
    recorded = await event_log.append(events)
    assert [one and one.event for one in recorded] == events
    read = await of_member(event_log)
    assert read == list(recorded)
    assert [one.position for one in read] == sorted({one.position for one in read})
    assert (await event_log.member_span(T1, M1)).end == read[-1].position


async def test_order_is_by_position_also_when_the_clock_jumped_back(event_log: ClosableLog) -> None:
    later, earlier = submitted("r1"), submitted("r2", time=NOON - timedelta(days=1))
    await event_log.append([later])
    await event_log.append([earlier])
    assert events_of(await of_member(event_log)) == [later, earlier]


async def test_appending_nothing_is_fine(event_log: ClosableLog) -> None:
    assert await event_log.append([]) == []


async def test_an_event_out_of_sequence_is_refused_and_hinders_no_other(event_log: ClosableLog) -> None:
    first = submitted()
    gap = scheduled(enqueued(first))
    other = submitted("r2")
    results = await event_log.append([first, gap, other, other])
    assert [one is None for one in results] == [False, True, False, True]
    assert await counted(event_log) == [first, other]


async def test_a_request_begins_with_submitted_only(event_log: ClosableLog) -> None:
    first = submitted()
    assert await event_log.append([enqueued(first)]) == [None]
    assert await event_log.append([msgspec.structs.replace(enqueued(first), sequence=1)]) == [None]


async def test_nothing_is_accepted_after_a_terminal_event(event_log: ClosableLog) -> None:
    first = submitted()
    end = cancelled(first)
    assert None not in await event_log.append([first, end])
    assert await event_log.append([enqueued(end)]) == [None]
    assert await event_log.append([submitted()]) == [None]
    state = await folded(event_log, R1)
    assert state is not None
    assert state.sequence == 2


async def test_of_two_writers_the_first_in_the_log_wins(event_log: ClosableLog) -> None:
    first = submitted()
    await event_log.append([first])
    one, other = await asyncio.gather(event_log.append([enqueued(first)]), event_log.append([cancelled(first)]))
    assert [one[0] is None, other[0] is None].count(True) == 1
    winner = one[0] or other[0]
    assert winner is not None
    assert await counted(event_log) == [first, winner.event]


async def test_many_appends_at_once_are_all_kept_each_in_its_own_order(event_log: ClosableLog) -> None:
    requests = [submitted(f"r{number}") for number in range(50)]
    appended = await asyncio.gather(*(event_log.append([event, enqueued(event)]) for event in requests))
    read = await of_member(event_log)
    assert sorted(one.position for pair in appended for one in pair if one) == [one.position for one in read]
    for pair in appended:
        assert pair[0] and pair[1] and pair[0].position < pair[1].position


async def test_a_caller_that_goes_away_takes_no_event_back(event_log: ClosableLog) -> None:
    task = asyncio.ensure_future(event_log.append([submitted("r1")]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await event_log.append([submitted("r2")])
    assert {one.event.subject for one in await of_member(event_log)} == {"r1", "r2"}


async def test_a_member_is_read_without_any_other_also_of_the_same_id_in_another_tenant(event_log: ClosableLog) -> None:
    own = submitted("r1")
    await event_log.append(
        [
            own,
            submitted("r2", member="m2"),
            submitted("r3", tenant="t2", member="m1"),
            enqueued(own),
            answered("c1", tenant="t1", member="m1"),
            answered("c2", tenant="t2", member="m1"),
            downtime(),
        ]
    )
    read = await of_member(event_log)
    assert [one.event.subject for one in read] == ["r1", "r1", "c1"]
    assert await event_log.read_member(T1, M1, after=read[0].position, limit=1) == read[1:2]
    assert await of_member(event_log, "nobody") == []


async def test_reading_pages_through_a_member_without_gap_or_repeat(event_log: ClosableLog) -> None:
    for number in range(10):
        await event_log.append([submitted(f"r{number}"), submitted(f"x{number}", member="m2")])
    read: list[Recorded] = []
    while page := await event_log.read_member(T1, M1, after=read[-1].position if read else 0, limit=3):
        assert len(page) <= 3
        read += page
    assert [one.event.subject for one in read] == [f"r{number}" for number in range(10)]


async def test_a_request_is_read_whole_or_behind_a_position(event_log: ClosableLog) -> None:
    first = submitted()
    await event_log.append([first, submitted("r2"), enqueued(first)])
    read = await event_log.read_request(R1)
    assert [one.event.sequence for one in read] == [1, 2]
    assert await event_log.read_request(R1, after=read[0].position) == read[1:]
    assert await event_log.read_request(RequestId("unknown")) == []


async def test_a_beginning_that_is_known_is_the_first_event(event_log: ClosableLog) -> None:
    first = submitted()
    await event_log.append([first, submitted("r2"), enqueued(first)])
    (begun, _) = await event_log.read_request(R1)
    assert event_log.beginning(R1) in (begun, None)
    assert event_log.beginning(RequestId("unknown")) is None


async def test_a_call_of_the_same_id_is_no_part_of_a_request(event_log: ClosableLog) -> None:
    await event_log.append([submitted("r1"), answered("r1")])
    assert len(await event_log.read_request(R1)) == 1


async def test_payers_stand_in_one_order_and_the_newest_of_each_is_known(event_log: ClosableLog) -> None:
    down = downtime("p1", time=NOON)
    up = downtime("p1", available=True, time=NOON + timedelta(minutes=1))
    other = downtime("p2")
    assert await event_log.latest_per_payer() == []
    await event_log.append([down, other])
    assert events_of(await event_log.latest_per_payer()) == [down, other]
    await event_log.append([up, submitted()])
    assert events_of(await event_log.latest_per_payer()) == [other, up]
    read = await event_log.read_payers(after=0, limit=2)
    assert events_of(read) == [down, other]
    assert events_of(await event_log.read_payers(after=read[-1].position, limit=2)) == [up]
    assert (await event_log.payers_span()).end >= read[-1].position


async def test_a_closed_log_refuses(event_log: ClosableLog) -> None:
    await event_log.close()
    with pytest.raises(LogUnavailable):
        await event_log.append([submitted()])
