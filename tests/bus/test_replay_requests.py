"""One request's stream: from its first event to its last, resumed behind any of its cursors."""

from __future__ import annotations

import asyncio

import pytest

from bus.events import EventType, Topic
from bus.replay import Delivered, Gap, GapReason
from tests.bus.conftest import (
    cancelled,
    completed,
    enqueued,
    failed,
    scheduled,
    started,
    submitted,
)
from tests.bus.stream_bench import Bench, allow_all
from tests.bus.test_replay import (
    MEMBER_SCOPE,
    REQUEST_SCOPE,
    nothing_comes,
    positions,
    rest,
    take,
    whole_request,
    with_log,
)


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
