from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from bus.cursor import Cursors, CursorScope
from bus.errors import LogUnavailable
from bus.events import Event, Recorded, Topic
from bus.ids import MemberId, TenantId
from bus.replay import Checkpoint, Delivered, Gap, GapReason, StreamItem
from tests.bus.conftest import (
    answered,
    completed,
    downtime,
    enqueued,
    scheduled,
    started,
    submitted,
)
from tests.bus.keeping_log import KeepingLog
from tests.bus.stream_bench import KEY, M1, T1, Bench
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


# A member


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


def test_a_quiet_stream_holds_no_task_and_a_closed_one_no_tail() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(submitted())
        before = asyncio.all_tasks()
        streams = [bench.member(), bench.payers(), bench.request()]
        for stream in streams:
            await take(stream, 1)
        assert asyncio.all_tasks() == before
        assert bench.fanout._tails
        for stream in streams:
            await stream.aclose()
        assert not bench.fanout._tails

    with_log(scenario)


def test_a_stream_that_is_closed_while_it_reads_the_log_leaves_no_task() -> None:
    async def main() -> None:
        slow = asyncio.Event()

        async def pause() -> None:
            if slow.is_set():
                await asyncio.sleep(100)

        log = KeepingLog(pause)
        async with Bench(log, tail_bound=1).running() as bench:
            before = asyncio.all_tasks()
            stream = bench.member()
            await take(stream, 1)
            log.write(*(submitted(f"r{number}", member="m1") for number in range(5)))  # more than the tail holds
            await bench.clock.sleep(0)
            waiting = asyncio.ensure_future(anext(stream))
            for _ in range(50):
                slow.set()
                await asyncio.sleep(0)
            assert any(task.get_name() == "stream relay" for task in asyncio.all_tasks())
            waiting.cancel()
            await asyncio.wait({waiting})
            assert not bench.fanout._tails
            assert not any(task.get_name() == "stream relay" for task in asyncio.all_tasks() - before)

    run_virtually(main())


def test_a_log_that_cannot_be_read_ends_the_stream_with_that_error() -> None:
    async def main() -> None:
        async def pause() -> None:
            raise LogUnavailable("The disk is away.")

        bench = Bench(KeepingLog(pause), tail_bound=3)
        async with bench.fanout:
            stream = bench.member()
            await take(stream, 1)
            bench.log.write(*(submitted(f"r{number}") for number in range(10)))  # too many to be held: they are read
            with pytest.raises(LogUnavailable):
                await take(stream, 10)

    run_virtually(main())


# Payers


def test_an_idle_payer_stream_gets_checkpoints() -> None:
    async def scenario(bench: Bench) -> None:
        stream = bench.payers()
        first, second = await take(stream, 2)
        assert isinstance(first, Checkpoint) and isinstance(second, Checkpoint)
        assert bench.clock.monotonic() == pytest.approx(30)

    with_log(scenario)
