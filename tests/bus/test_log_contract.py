"""What logs promise in which all events of a topic stand in one order, and which refuse at their door."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from bus.errors import LogUnavailable
from bus.events import Event, Recorded, Topic
from bus.ids import MemberId, RequestId, TenantId
from tests.bus.conftest import (
    NOON,
    AnyLog,
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


async def everything(log: AnyLog, topic: Topic = Topic.RTE) -> list[Recorded]:
    return list(await log.read(topic, after=0, limit=1_000))


async def test_a_new_log_is_empty_and_has_an_epoch(log: AnyLog) -> None:
    assert log.epoch == "epoch1"
    for topic in Topic:
        assert await log.end(topic) == 0
        assert await log.floor(topic) == 0
        assert await log.read(topic, after=0, limit=10) == []


async def test_events_come_back_as_they_were_given_in_the_order_of_their_positions(log: AnyLog) -> None:
    first = submitted()
    second = enqueued(first)
    third = scheduled(second)
    fourth = started(third)
    events = [first, second, third, fourth, completed(fourth), answered("c9")]
    recorded = await log.append(events)
    assert [one and one.event for one in recorded] == events
    read = await everything(log)
    assert read == list(recorded)
    assert [one.position for one in read] == sorted({one.position for one in read})
    assert await log.end(Topic.RTE) == read[-1].position


async def test_order_is_by_position_also_when_the_clock_jumped_back(log: AnyLog) -> None:
    later, earlier = submitted("r1"), submitted("r2", time=NOON - timedelta(days=1))
    await log.append([later])
    await log.append([earlier])
    assert events_of(await everything(log)) == [later, earlier]


async def test_many_appends_at_once_are_all_kept_each_in_its_own_order(log: AnyLog) -> None:
    requests = [submitted(f"r{number}") for number in range(50)]
    appended = await asyncio.gather(*(log.append([event, enqueued(event)]) for event in requests))
    read = await everything(log)
    assert sorted(one.position for pair in appended for one in pair if one) == [one.position for one in read]
    for pair in appended:
        assert pair[0] and pair[1] and pair[0].position < pair[1].position


async def test_a_caller_that_goes_away_takes_no_event_back(log: AnyLog) -> None:
    task = asyncio.ensure_future(log.append([submitted("r1")]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await log.append([submitted("r2")])
    assert [one.event.subject for one in await everything(log)] == ["r1", "r2"]


async def test_reading_pages_through_a_topic_without_gap_or_repeat(log: AnyLog) -> None:
    await log.append([submitted(f"r{number}") for number in range(10)])
    await log.append([downtime("p1")])
    read: list[Recorded] = []
    while page := await log.read(Topic.RTE, after=read[-1].position if read else 0, limit=3):
        assert len(page) <= 3
        read += page
    assert [one.event.subject for one in read] == [f"r{number}" for number in range(10)]


async def test_topics_do_not_mix(log: AnyLog) -> None:
    await log.append([submitted(), downtime("p1")])
    assert [one.event.subject for one in await everything(log, Topic.RTE)] == ["r1"]
    assert [one.event.subject for one in await everything(log, Topic.PAYER)] == ["p1"]
    assert await log.end(Topic.PAYER) == (await everything(log, Topic.PAYER))[0].position


async def test_waiting_ends_when_its_own_topic_grows(log: AnyLog) -> None:
    waiting = asyncio.ensure_future(log.wait_beyond(Topic.RTE, 0))
    await log.append([downtime()])
    await asyncio.sleep(0)
    assert not waiting.done()
    await log.append([submitted()])
    await waiting
    await log.wait_beyond(Topic.RTE, 0)
    assert len(await everything(log)) == 1


async def test_a_closed_log_refuses_and_wakes_who_waits(log: AnyLog) -> None:
    waiting = asyncio.ensure_future(log.wait_beyond(Topic.RTE, 0))
    await asyncio.sleep(0)
    await log.close()
    with pytest.raises(LogUnavailable):
        await waiting
    with pytest.raises(LogUnavailable):
        await log.append([submitted()])


async def test_deleting_takes_the_oldest_up_to_the_first_that_is_not_older(log: AnyLog) -> None:
    hour = timedelta(hours=1)
    events: list[Event] = []
    for number, time in enumerate([NOON, NOON + hour, NOON + 3 * hour, NOON + hour]):
        first = submitted(f"r{number}", time=time)
        events += [first, cancelled(first, time=time)]
    recorded = await log.append([*events, downtime(time=NOON)])
    assert await log.delete_before(Topic.RTE, NOON + 2 * hour) == 4
    assert events_of(await everything(log)) == events[4:]
    assert recorded[3] and await log.floor(Topic.RTE) == recorded[3].position
    assert await log.floor(Topic.PAYER) == 0
    assert await log.end(Topic.RTE) == (await everything(log))[-1].position
    assert await log.read_request(R1) == []
    assert await log.delete_before(Topic.RTE, NOON + 2 * hour) == 0
    assert [one.event.topic for one in await everything(log, Topic.PAYER)] == [Topic.PAYER]


async def test_deleting_everything_keeps_the_end(log: AnyLog) -> None:
    first = submitted()
    recorded = await log.append([first, cancelled(first), downtime()])
    assert recorded[1] and recorded[2]
    assert await log.delete_before(Topic.RTE, NOON + timedelta(days=1)) == 2
    assert await log.delete_before(Topic.PAYER, NOON + timedelta(days=1)) == 1
    assert await log.end(Topic.RTE) == await log.floor(Topic.RTE) == recorded[1].position
    assert await log.end(Topic.PAYER) == recorded[2].position
    (again,) = await log.append([submitted("r9")])
    assert again and again.position > recorded[2].position


async def test_deleting_leaves_requests_whole_that_have_not_ended(log: AnyLog) -> None:
    running, ended = submitted("r1"), submitted("r2")
    queued = enqueued(running)
    await log.append([running, ended, queued, cancelled(ended)])
    assert await log.delete_before(Topic.RTE, NOON + timedelta(days=1)) == 2
    assert events_of(await log.read_request(R1)) == [running, queued]
    state = await log.get(T1, R1)
    assert state and state.sequence == 2
    floor = await log.floor(Topic.RTE)
    await log.append([cancelled(queued)])
    assert await log.delete_before(Topic.RTE, NOON + timedelta(days=1)) == 3
    assert await log.floor(Topic.RTE) >= floor
    assert await everything(log) == []
    assert await log.get(T1, R1) is None
