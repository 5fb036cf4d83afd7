from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.events import Event, Recorded
from bus.fanout import PAYER_CHANNEL, Fanout, LiveTail, member_channel
from bus.ids import MemberId, TenantId
from tests.bus.conftest import downtime, submitted

MINE = member_channel(TenantId("t1"), MemberId("m1"))


def _recorded(position: int, event: Event | None = None) -> Recorded:
    return Recorded(position=position, event=event or submitted(f"r{position}"))


async def _settle() -> None:
    """Let every task do what it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def _tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("fanout")}


@pytest.fixture
async def fanout() -> AsyncIterator[Fanout]:
    async with Fanout(tail_bound=4) as fanout:
        yield fanout


async def test_a_tail_hears_its_channel_and_no_other(fanout: Fanout) -> None:
    mine, foreign, payer = _recorded(1), _recorded(2, submitted(tenant="t2")), _recorded(3, downtime())
    async with (
        fanout.tail(MINE) as member,
        fanout.tail(PAYER_CHANNEL) as payers,
        fanout.tail(MINE, PAYER_CHANNEL) as both,
    ):
        await fanout.take([mine, foreign, payer])
        await _settle()
        assert member.drain() == (mine,)
        assert payers.drain() == (payer,)
        assert set(both.drain() or ()) == {mine, payer}


async def test_events_are_carried_by_reference(fanout: Fanout) -> None:
    recorded = _recorded(1)
    async with fanout.tail(MINE) as tail:
        await fanout.take([recorded])
        await tail.wait()
        held = tail.drain()
    assert held is not None and held[0] is recorded


async def test_an_event_of_nobody_reaches_no_channel(fanout: Fanout) -> None:
    stray = Event(id=submitted().id, source="test", subject="x", time=submitted().time, data=submitted().data)
    async with fanout.tail(MINE) as tail:
        await fanout.take([_recorded(1, stray)])
        await _settle()
        assert tail.drain() == ()


async def test_two_tenants_with_the_same_member_id_are_two_channels() -> None:
    assert member_channel(TenantId("t2"), MemberId("m1")) != MINE
    assert member_channel(TenantId("ab"), MemberId("c")) != member_channel(TenantId("a"), MemberId("bc"))


async def test_a_channel_is_subscribed_once_for_all_its_tails_and_let_go_with_the_last(fanout: Fanout) -> None:
    async with fanout.tail(MINE):
        async with fanout.tail(MINE):
            assert _tasks() == {f"fanout {MINE}"}
        assert _tasks() == {f"fanout {MINE}"}
    assert _tasks() == set()


async def test_nothing_published_once_a_tail_is_entered_is_missed_while_the_last_one_leaves(fanout: Fanout) -> None:
    for position in range(1, 30):
        first = fanout.tail(MINE)
        await first.__aenter__()
        leaving = asyncio.create_task(first.__aexit__(None, None, None))
        for _ in range(position % 5):
            await asyncio.sleep(0)
        async with fanout.tail(MINE) as tail:
            await fanout.take([_recorded(position)])
            await _settle()
            held = tail.drain()
            assert held is not None and [recorded.position for recorded in held] == [position]
        await leaving


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["enter", "leave", "publish", "yield"]), max_size=40))
def test_every_tail_holds_exactly_what_was_published_while_it_was_entered(moves: list[str]) -> None:
    """Tails come and go in any order, also in the middle of each other's coming and going."""

    async def main() -> None:
        published = 0
        heard: list[tuple[range, list[int]]] = []

        async def listen(fanout: Fanout, leave: asyncio.Event) -> None:
            async with fanout.tail(MINE) as tail:
                start = published
                await leave.wait()
                await _settle()
                held = tail.drain()
                assert held is not None
                heard.append((range(start + 1, published + 1), [recorded.position for recorded in held]))

        async with Fanout() as fanout:
            listeners: list[tuple[asyncio.Task[None], asyncio.Event]] = []
            for move in moves:
                if move == "enter":
                    leave = asyncio.Event()
                    listeners.append((asyncio.create_task(listen(fanout, leave)), leave))
                elif move == "leave" and listeners:
                    listeners[0][1].set()
                    listeners.append(listeners.pop(0))
                elif move == "publish":
                    published += 1
                    await fanout.take([_recorded(published)])
                else:
                    await asyncio.sleep(0)
            for task, leave in listeners:
                leave.set()
                await task
        for expected, positions in heard:
            assert set(expected) <= set(positions)
            assert positions == sorted(set(positions))

    asyncio.run(main())


async def test_a_tail_past_its_bound_lags_and_holds_nothing_until_it_is_drained(fanout: Fanout) -> None:
    async with fanout.tail(MINE) as tail:
        await fanout.take([_recorded(position) for position in range(1, 8)])
        await _settle()
        await tail.wait()
        assert tail.drain() is None
        assert tail.drain() == ()
        await fanout.take([_recorded(8)])
        await tail.wait()
        held = tail.drain()
        assert held is not None and [recorded.position for recorded in held] == [8]


def test_a_tail_never_holds_more_than_its_bound() -> None:
    tail = LiveTail(4)
    for position in range(1, 100):
        tail.push(_recorded(position))
        assert len(tail._held) <= 4


async def test_a_tail_can_be_woken_though_nothing_came(fanout: Fanout) -> None:
    async with fanout.tail(MINE) as tail:
        tail.wake()
        await tail.wait()
        assert tail.drain() == ()


async def test_a_flood_waits_for_the_listener_and_loses_nothing() -> None:
    async with Fanout(tail_bound=5000) as fanout, fanout.tail(MINE) as tail:
        flood = [_recorded(position) for position in range(1, 4001)]
        await fanout.take(flood)
        await _settle()
        assert tail.drain() == tuple(flood)


async def test_a_tail_that_is_given_up_before_it_is_entered_leaves_nothing(fanout: Fanout) -> None:
    entering = asyncio.create_task(fanout.tail(MINE).__aenter__())
    await asyncio.sleep(0)
    entering.cancel()
    await asyncio.wait({entering})
    await _settle()
    assert _tasks() == set()


async def test_leaving_the_fanout_ends_its_tasks_though_a_tail_is_still_held() -> None:
    async with Fanout() as fanout:
        tail = fanout.tail(MINE)
        await tail.__aenter__()
    assert _tasks() == set()
    await tail.__aexit__(None, None, None)
