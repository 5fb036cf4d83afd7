"""New connections begin in turns, so that the event loop's turns stay short."""

from __future__ import annotations

import asyncio

from delivery.arrivals import Arrivals


async def test_few_begin_at_once() -> None:
    arrivals = Arrivals(a_turn=2)
    for _ in range(3):
        assert [arrivals.come(lambda: None) for _ in range(2)] == [True, True]
        await asyncio.sleep(0)


async def test_of_many_a_few_begin_in_each_turn_in_the_order_of_their_coming() -> None:
    arrivals = Arrivals(a_turn=2)
    begun: list[int] = []
    at_once = [number for number in range(7) if arrivals.come(lambda number=number: begun.append(number))]  # type: ignore[misc]
    assert at_once == [0, 1]
    seen = []
    while len(begun) < 5:
        await asyncio.sleep(0)
        seen.append(list(begun))
    assert seen == [[2, 3], [2, 3, 4, 5], [2, 3, 4, 5, 6]]


async def test_who_comes_while_others_wait_comes_after_them() -> None:
    arrivals = Arrivals(a_turn=1)
    begun: list[str] = []
    assert arrivals.come(lambda: None)
    assert not arrivals.come(lambda: begun.append("early"))
    await asyncio.sleep(0)
    assert not arrivals.come(lambda: begun.append("late"))
    await asyncio.sleep(0)
    assert begun == ["early", "late"]


async def test_who_waits_for_a_turn_and_gives_up_harms_nobody() -> None:
    arrivals = Arrivals(a_turn=1)
    begun: list[int] = []

    async def come(number: int) -> None:
        await arrivals.wait()
        begun.append(number)

    coming = [asyncio.create_task(come(number)) for number in range(6)]
    await asyncio.sleep(0)
    assert begun == [0]
    coming[2].cancel()
    await asyncio.gather(*coming, return_exceptions=True)
    assert begun == [0, 1, 3, 4, 5]
