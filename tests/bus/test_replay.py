from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from bus.cursor import Cursors, CursorScope
from bus.errors import LogUnavailable
from bus.events import Event, EventType, Recorded, Topic
from bus.ids import MemberId, TenantId
from bus.replay import Checkpoint, Delivered, Gap, GapReason, StreamItem
from tests.bus.conftest import (
    answered,
    cancelled,
    completed,
    downtime,
    enqueued,
    failed,
    scheduled,
    started,
    submitted,
)
from tests.bus.keeping_log import KeepingLog
from tests.bus.stream_bench import KEY, M1, T1, Bench, allow_all
from tests.virtual_time import VirtualClock, run_virtually

MEMBER_SCOPE = CursorScope(T1, M1, "member")
PAYERS_SCOPE = CursorScope(T1, None, "payers")
REQUEST_SCOPE = CursorScope(T1, M1, "request/r1")


def whole_request(request_id: str = "r1", member: str = "m1") -> list[Event]:
    """Five events: submitted, enqueued, scheduled, started, completed."""
    events = [submitted(request_id, member=member)]
    for step in (enqueued, scheduled, started, completed):
        events.append(step(events[-1]))
    return events


def with_log(scenario: Callable[[Bench], Awaitable[None]], **settings: int) -> None:
    async def main() -> None:
        async with Bench(KeepingLog(), **settings).running() as bench:
            await scenario(bench)

    run_virtually(main())


def positions(items: list[StreamItem]) -> list[int]:
    return [item.recorded.position for item in items if isinstance(item, Delivered)]


async def take(stream: AsyncGenerator[StreamItem, None], count: int) -> list[StreamItem]:
    return [await anext(stream) for _ in range(count)]


async def rest(stream: AsyncGenerator[StreamItem, None]) -> list[StreamItem]:
    return [item async for item in stream]


async def nothing_comes(stream: AsyncGenerator[StreamItem, None], clock: VirtualClock) -> None:
    waiting = asyncio.ensure_future(anext(stream))
    await clock.sleep(5)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting})


# One request


def test_a_request_is_told_from_its_first_event_to_its_terminal_one() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(*whole_request())
        items = await rest(bench.request())
        assert [item.recorded.event.type for item in items if isinstance(item, Delivered)] == [
            EventType.SUBMITTED,
            EventType.ENQUEUED,
            EventType.SCHEDULED,
            EventType.STARTED,
            EventType.COMPLETED,
        ]

    with_log(scenario)


def test_a_request_goes_on_live_where_its_history_ends() -> None:
    async def scenario(bench: Bench) -> None:
        events = whole_request()
        bench.log.write(*events[:2])
        stream = bench.request()
        assert positions(await take(stream, 2)) == [1, 2]
        for event in events[2:]:
            bench.log.write(event, submitted(f"other/{event.sequence}"))
        assert positions(await rest(stream)) == [3, 5, 7]

    with_log(scenario)


def test_a_request_resumes_behind_any_of_its_cursors() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(*whole_request())
        items = await rest(bench.request())
        for seen, item in enumerate(items, start=1):
            assert await rest(bench.request(item.cursor)) == items[seen:]

    with_log(scenario)


def test_subscribing_after_the_cursor_of_a_polled_request_misses_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        events = whole_request()
        bench.log.write(*events[:3])
        polled = bench.streams.request_cursor(bench.state())
        bench.log.write(*events[3:])
        assert positions(await rest(bench.request(polled))) == [4, 5]

    with_log(scenario)


def test_what_the_fold_ignores_is_never_shown() -> None:
    async def scenario(bench: Bench) -> None:
        first = submitted()
        winner, loser = enqueued(first), enqueued(first)
        end = failed(winner)
        bench.log.write(first, winner, loser, end, cancelled(winner), completed(started(scheduled(end))))
        assert positions(await rest(bench.request())) == [1, 2, 4]
        member = bench.member(bench.cursors.seal(MEMBER_SCOPE, {Topic.RTE: 2, Topic.PAYER: 0}))
        assert positions(await take(member, 2)) == [4]
        await nothing_comes(member, bench.clock)

    with_log(scenario)


def test_a_request_ends_though_its_terminal_event_may_not_be_seen() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(*whole_request())
        stream = bench.streams.request(bench.state(), None, lambda recorded: not recorded.event.terminal)
        assert positions(await rest(stream)) == [1, 2, 3, 4]

    with_log(scenario)


def test_an_idle_request_has_no_checkpoints() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(submitted())
        stream = bench.request()
        await take(stream, 1)
        waiting = asyncio.ensure_future(rest(stream))
        await bench.clock.sleep(600)
        assert not waiting.done()
        bench.log.write(cancelled(submitted()))
        assert positions(await waiting) == [2]

    with_log(scenario)


@pytest.mark.parametrize("junk", ["", "made up", "\x00", "A" * 1000])
def test_an_unfinished_request_goes_on_from_the_present_behind_a_gap(junk: str) -> None:
    async def scenario(bench: Bench) -> None:
        events = whole_request()
        bench.log.write(*events[:3])
        stream = bench.request(junk)
        (gap,) = await take(stream, 1)
        assert isinstance(gap, Gap) and gap.reason is GapReason.UNKNOWN_CURSOR
        bench.log.write(*events[3:])
        live = await rest(stream)
        assert positions(live) == [4, 5]
        assert await rest(bench.request(gap.cursor)) == live
        assert bench.gaps() == {"UNKNOWN_CURSOR": 1}

    with_log(scenario)


def test_a_finished_request_ends_behind_a_gap() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(*whole_request())
        (gap,) = await rest(bench.request("junk"))
        assert isinstance(gap, Gap) and gap.reason is GapReason.UNKNOWN_CURSOR
        assert await rest(bench.request(gap.cursor)) == []

    with_log(scenario)


def test_a_cursor_of_another_request_is_unknown() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(*whole_request("r1"), *whole_request("r2"))
        foreign = (await rest(bench.request(request_id="r2")))[0].cursor
        (gap,) = await rest(bench.request(foreign))
        assert isinstance(gap, Gap) and gap.reason is GapReason.UNKNOWN_CURSOR

    with_log(scenario)


def test_a_request_whose_beginning_was_deleted_is_expired() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(*whole_request())
        state = bench.state()
        bench.log.delete_through(Topic.RTE, 2)
        behind_first = bench.cursors.seal(REQUEST_SCOPE, {Topic.RTE: 1})
        for after in (None, behind_first):
            (gap,) = await rest(bench.streams.request(state, after, allow_all))
            assert isinstance(gap, Gap) and gap.reason is GapReason.EXPIRED
        assert await rest(bench.streams.request(state, bench.streams.request_cursor(state), allow_all)) == []

    with_log(scenario)


def test_a_cursor_of_an_open_request_before_the_floor_is_expired() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(submitted("gone"), submitted())
        after = bench.cursors.seal(REQUEST_SCOPE, {Topic.RTE: 0})
        bench.log.floors[Topic.RTE] = 1
        stream = bench.request(after)
        (gap,) = await take(stream, 1)
        assert isinstance(gap, Gap) and gap.reason is GapReason.EXPIRED
        bench.log.write(cancelled(submitted()))
        assert positions(await rest(stream)) == [3]
        assert positions(await take(bench.request(), 1)) == [2]

    with_log(scenario)


# A member


def test_a_member_hears_of_every_request_and_of_payers_from_now_on() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(*whole_request("old"), downtime())
        stream = bench.member()
        (checkpoint,) = await take(stream, 1)
        assert isinstance(checkpoint, Checkpoint)
        bench.log.write(submitted("a"), submitted("b"), submitted("foreign", member="m2"), answered(), downtime("X"))
        assert sorted(positions(await take(stream, 3))) == [7, 8, 11]
        await nothing_comes(stream, bench.clock)

    with_log(scenario)


def test_a_member_resumes_behind_any_cursor_with_a_checkpoint_at_it() -> None:
    async def scenario(bench: Bench) -> None:
        start = await take(bench.member(), 1)
        first = whole_request("a")
        bench.log.write(first[0], downtime("X"), *first[1:], submitted("b"), downtime("Y"))
        stream = bench.member(start[0].cursor)
        history = await take(stream, 9)
        assert history[0] == start[0]
        for seen, item in enumerate(history):
            resumed = await take(bench.member(item.cursor), 9 - seen)
            assert resumed[0] == Checkpoint(cursor=item.cursor)
            assert sorted(positions(resumed)) == sorted(positions(history[seen + 1 :]))

    with_log(scenario)


def test_history_that_begins_in_the_middle_of_a_request_shows_the_rest_of_it() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(*whole_request())
        stream = bench.member(bench.cursors.seal(MEMBER_SCOPE, {Topic.RTE: 2, Topic.PAYER: 0}))
        assert positions(await take(stream, 4)) == [3, 4, 5]

    with_log(scenario)


def test_more_open_requests_than_are_remembered_are_still_told_exactly() -> None:
    async def scenario(bench: Bench) -> None:
        stream = bench.member()
        await take(stream, 1)
        firsts = [submitted(f"r{number}") for number in range(100)]
        seconds = [enqueued(first) for first in firsts]
        bench.log.write(*firsts, *seconds, *seconds)
        assert positions(await take(stream, 200)) == list(range(1, 201))
        await nothing_comes(stream, bench.clock)

    with_log(scenario, tail_bound=1000)


def test_only_what_is_allowed_is_shown_replayed_or_live() -> None:
    async def scenario(bench: Bench) -> None:
        events = whole_request()
        bench.log.write(*events[:3])
        asked: list[int] = []

        def allows(recorded: Recorded) -> bool:
            asked.append(recorded.position)
            return recorded.position % 2 == 1

        stream = bench.streams.member(T1, M1, bench.cursors.seal(MEMBER_SCOPE, {Topic.RTE: 0, Topic.PAYER: 0}), allows)
        assert positions(await take(stream, 3)) == [1, 3]
        bench.log.write(*events[3:])
        assert positions(await take(stream, 1)) == [5]
        assert asked == [1, 2, 3, 4, 5]

    with_log(scenario)


def test_a_cursor_of_another_member_tenant_or_stream_is_unknown() -> None:
    async def scenario(bench: Bench) -> None:
        both = {Topic.RTE: 0, Topic.PAYER: 0}
        strangers = [
            bench.cursors.seal(CursorScope(TenantId("t2"), M1, "member"), both),
            bench.cursors.seal(CursorScope(T1, MemberId("m2"), "member"), both),
            bench.cursors.seal(PAYERS_SCOPE, both),
            bench.cursors.seal(MEMBER_SCOPE, {Topic.RTE: 0}),
        ]
        for stranger in strangers:
            (gap,) = await take(bench.member(stranger), 1)
            assert isinstance(gap, Gap) and gap.reason is GapReason.UNKNOWN_CURSOR

    with_log(scenario)


def test_a_cursor_of_another_log_or_ahead_of_this_one_is_a_reset() -> None:
    async def scenario(bench: Bench) -> None:
        both = {Topic.RTE: 0, Topic.PAYER: 0}
        other_log = Cursors(KEY, "epoch2").seal(MEMBER_SCOPE, both)
        ahead = bench.cursors.seal(MEMBER_SCOPE, both | {Topic.PAYER: 1})
        for after in (other_log, ahead):
            (gap,) = await take(bench.member(after), 1)
            assert isinstance(gap, Gap) and gap.reason is GapReason.STREAM_RESET

    with_log(scenario)


@pytest.mark.parametrize("topic", Topic)
def test_a_cursor_before_the_floor_of_any_of_its_topics_is_expired(topic: Topic) -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(submitted(), downtime(), submitted("r2"), downtime())
        after = bench.cursors.seal(MEMBER_SCOPE, {Topic.RTE: 1, Topic.PAYER: 2})
        bench.log.floors[topic] = 3
        stream = bench.member(after)
        (gap,) = await take(stream, 1)
        assert isinstance(gap, Gap) and gap.reason is GapReason.EXPIRED
        bench.log.write(submitted("r3"))
        live = await take(stream, 1)
        assert positions(live) == [5]
        assert (await take(bench.member(gap.cursor), 2))[1:] == live

    with_log(scenario)


def test_a_cursor_at_the_floor_lost_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(submitted("gone"), submitted("r2"))
        bench.log.delete_through(Topic.RTE, 1)
        stream = bench.member(bench.cursors.seal(MEMBER_SCOPE, {Topic.RTE: 1, Topic.PAYER: 0}))
        first, second = await take(stream, 2)
        assert isinstance(first, Checkpoint) and positions([second]) == [2]

    with_log(scenario)


def test_what_is_deleted_while_it_is_still_to_be_read_makes_a_gap() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(*(submitted(f"r{number}") for number in range(6)))
        stream = bench.member(bench.cursors.seal(MEMBER_SCOPE, {Topic.RTE: 0, Topic.PAYER: 0}))
        assert positions(await take(stream, 2)) == [1]
        bench.log.delete_through(Topic.RTE, 4)
        items = await take(stream, 2)
        assert positions(items) == [2]
        assert isinstance(items[1], Gap) and items[1].reason is GapReason.EXPIRED
        assert bench.gaps() == {"EXPIRED": 1}
        bench.log.write(submitted("later"))
        assert positions(await take(stream, 1)) == [7]

    with_log(scenario, batch=2)


def test_an_idle_member_gets_a_checkpoint_at_the_present_end() -> None:
    async def scenario(bench: Bench) -> None:
        stream = bench.member()
        await take(stream, 1)
        begun = bench.clock.monotonic()
        bench.log.write(submitted("foreign", member="m2"))
        (checkpoint,) = await take(stream, 1)
        assert bench.clock.monotonic() - begun == pytest.approx(30)
        assert isinstance(checkpoint, Checkpoint)
        assert bench.cursors.open(MEMBER_SCOPE, checkpoint.cursor) == {Topic.RTE: 1, Topic.PAYER: 0}
        (again,) = await take(stream, 1)
        assert again == checkpoint
        assert bench.clock.monotonic() - begun == pytest.approx(60)

    with_log(scenario)


def test_a_stream_is_idle_from_its_last_item_on() -> None:
    async def scenario(bench: Bench) -> None:
        stream = bench.member()
        await take(stream, 1)
        await bench.clock.sleep(20)
        bench.log.write(submitted())
        await take(stream, 1)
        begun = bench.clock.monotonic()
        (checkpoint,) = await take(stream, 1)
        assert isinstance(checkpoint, Checkpoint)
        assert bench.clock.monotonic() - begun == pytest.approx(30)

    with_log(scenario)


def test_events_that_are_not_shown_do_not_put_a_checkpoint_off() -> None:
    async def scenario(bench: Bench) -> None:
        async def chatter() -> None:
            while True:
                await bench.clock.sleep(0.7)
                bench.log.write(answered())

        talking = asyncio.create_task(chatter())
        stream = bench.member()
        await take(stream, 1)
        (checkpoint,) = await take(stream, 1)
        assert isinstance(checkpoint, Checkpoint)
        assert bench.clock.monotonic() == pytest.approx(30, abs=1)
        talking.cancel()

    with_log(scenario)


def test_a_checkpoint_is_never_ahead_of_an_event_that_was_not_delivered() -> None:
    """The reader is dead: the event is in the log, and nothing of it comes through the fan-out."""

    async def main() -> None:
        bench = Bench(KeepingLog())
        async with bench.fanout:
            stream = bench.member()
            await take(stream, 1)
            bench.log.write(submitted())
            event, checkpoint = await take(stream, 2)
            assert positions([event]) == [1]
            assert isinstance(checkpoint, Checkpoint)

    run_virtually(main())


def test_a_slow_client_that_overflows_its_tail_misses_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        stream = bench.member()
        await take(stream, 1)
        bench.log.write(*(submitted(f"r{number}") for number in range(50)))
        await bench.clock.sleep(1)
        assert positions(await take(stream, 50)) == list(range(1, 51))
        await nothing_comes(stream, bench.clock)

    with_log(scenario, tail_bound=3, batch=7)


def test_a_closed_stream_holds_no_task_and_no_tail() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(submitted())
        before = asyncio.all_tasks()
        streams = [bench.member(), bench.payers(), bench.request()]
        for stream in streams:
            await take(stream, 1)
        assert len(asyncio.all_tasks()) > len(before)
        for stream in streams:
            await stream.aclose()
        assert asyncio.all_tasks() == before

    with_log(scenario)


def test_a_log_that_cannot_be_read_ends_the_stream_with_that_error() -> None:
    async def main() -> None:
        async def pause() -> None:
            raise LogUnavailable("The disk is away.")

        bench = Bench(KeepingLog(pause))
        async with bench.fanout:
            stream = bench.member()
            await take(stream, 1)
            with pytest.raises(LogUnavailable):
                await take(stream, 1)

    run_virtually(main())


# Payers


def test_the_present_state_of_payers_comes_first_then_a_checkpoint_then_what_happens() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(downtime("A"), downtime("B"), submitted(), downtime("A", available=True))
        stream = bench.payers()
        items = await take(stream, 3)
        assert positions(items) == [2, 4]
        assert isinstance(items[2], Checkpoint)
        bench.log.write(downtime("B", available=True))
        assert positions(await take(stream, 1)) == [5]
        assert positions(await take(bench.payers(items[2].cursor), 2)) == [5]
        assert positions(await take(bench.payers(items[0].cursor), 3)) == [4, 5]

    with_log(scenario)


def test_only_the_wanted_payers_are_told_of() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(downtime("A"), downtime("B"))
        stream = bench.payers(None, "B", "C")
        assert positions(await take(stream, 2)) == [2]
        bench.log.write(downtime("A"), downtime("C"))
        assert positions(await take(stream, 1)) == [4]

    with_log(scenario)


def test_payers_that_may_not_be_seen_are_left_out_of_the_present_state_too() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(downtime("A"), downtime("B"))
        stream = bench.streams.payers(T1, None, None, lambda recorded: recorded.event.subject == "B")
        items = await take(stream, 2)
        assert positions(items) == [2]
        assert isinstance(items[1], Checkpoint)

    with_log(scenario)


def test_an_idle_payer_stream_gets_checkpoints() -> None:
    async def scenario(bench: Bench) -> None:
        stream = bench.payers()
        first, second = await take(stream, 2)
        assert isinstance(first, Checkpoint) and isinstance(second, Checkpoint)
        assert bench.clock.monotonic() == pytest.approx(30)

    with_log(scenario)


def test_a_bad_cursor_of_payers_gives_a_gap_and_no_present_state() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(downtime("A"))
        stream = bench.payers("junk")
        (gap,) = await take(stream, 1)
        assert isinstance(gap, Gap) and gap.reason is GapReason.UNKNOWN_CURSOR
        bench.log.write(downtime("B"))
        assert positions(await take(stream, 1)) == [2]

    with_log(scenario)
