from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.events import Event, Recorded, Topic
from bus.fanout import PAYER_CHANNEL, Fanout, LiveTail, member_channel
from bus.ids import MemberId, TenantId
from tests.bus.conftest import downtime, submitted

MINE = member_channel(TenantId("t1"), MemberId("m1"))
THEIRS = member_channel(TenantId("t2"), MemberId("m1"))


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
    with (
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
    with fanout.tail(MINE) as tail:
        await fanout.take([recorded])
        await tail.wait()
        held = tail.drain()
    assert held is not None and held[0] is recorded


async def test_an_event_of_nobody_reaches_no_channel(fanout: Fanout) -> None:
    stray = Event(id=submitted().id, source="test", subject="x", time=submitted().time, data=submitted().data)
    with fanout.tail(MINE) as tail:
        await fanout.take([_recorded(1, stray)])
        await _settle()
        assert tail.drain() == ()


async def test_two_tenants_with_the_same_member_id_are_two_channels() -> None:
    assert member_channel(TenantId("t2"), MemberId("m1")) != MINE
    assert member_channel(TenantId("ab"), MemberId("c")) != member_channel(TenantId("a"), MemberId("bc"))


async def test_broadcaster_is_subscribed_to_once_a_topic_however_many_tails_there_are(fanout: Fanout) -> None:
    subscribed = {f"fanout {topic.value}" for topic in Topic}
    assert _tasks() == subscribed
    with fanout.tail(MINE), fanout.tail(MINE), fanout.tail(THEIRS, PAYER_CHANNEL):
        assert _tasks() == subscribed
        assert fanout._broadcast._subscribers.keys() == {topic.value for topic in Topic}


async def test_a_channel_is_forgotten_with_its_last_tail(fanout: Fanout) -> None:
    with fanout.tail(MINE, PAYER_CHANNEL):
        with fanout.tail(MINE):
            assert fanout._tails.keys() == {MINE, PAYER_CHANNEL}
        assert fanout._tails.keys() == {MINE, PAYER_CHANNEL}
    assert not fanout._tails


async def test_a_tail_hears_nothing_that_comes_once_it_has_left_and_others_still_do(fanout: Fanout) -> None:
    with fanout.tail(MINE) as staying:
        with fanout.tail(MINE) as leaving:
            pass
        await fanout.take([_recorded(1)])
        await _settle()
        assert leaving.drain() == ()
        assert staying.drain() == (_recorded(1),)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["enter", "leave", "publish", "yield"]), max_size=40))
def test_every_tail_holds_exactly_what_was_published_while_it_was_entered(moves: list[str]) -> None:
    """Tails come and go in any order, also in the middle of each other's coming and going."""

    async def main() -> None:
        published = 0
        heard: list[tuple[range, list[int]]] = []

        async def listen(fanout: Fanout, leave: asyncio.Event) -> None:
            with fanout.tail(MINE) as tail:
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
    with fanout.tail(MINE) as tail:
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
    with fanout.tail(MINE) as tail:
        tail.wake()
        await tail.wait()
        assert tail.drain() == ()


async def test_a_flood_waits_for_the_listener_and_loses_nothing() -> None:
    async with Fanout(tail_bound=5000) as fanout:
        with fanout.tail(MINE) as tail:
            flood = [_recorded(position) for position in range(1, 4001)]
            for first in range(0, 4000, 100):
                await fanout.take(flood[first : first + 100])
            await _settle()
            assert tail.drain() == tuple(flood)


async def test_a_reader_waits_while_batches_are_not_dispatched(fanout: Fanout) -> None:
    """broadcaster's own queues have no bound: what waits does so in the backend, or with the reader."""
    with fanout.tail(MINE) as tail:
        taking = [asyncio.create_task(fanout.take([_recorded(position)])) for position in range(1, 5)]
        await asyncio.sleep(0)
        assert not all(task.done() for task in taking)
        await _settle()
        assert all(task.done() for task in taking)
        assert tail.drain() == tuple(_recorded(position) for position in range(1, 5))


async def test_leaving_the_fanout_ends_its_tasks_though_a_tail_is_still_held() -> None:
    async with Fanout() as fanout:
        tail = fanout.tail(MINE)
        tail.__enter__()
    assert _tasks() == set()
    tail.__exit__(None, None, None)
