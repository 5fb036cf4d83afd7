from __future__ import annotations

import asyncio

from bus.bell import Bell


async def _returns(waiting: asyncio.Task[None]) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return waiting.done()


async def test_whoever_waits_goes_on_when_it_rings_and_whoever_comes_then_does_not_wait() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.wait())
    assert not await _returns(waiting)
    bell.ring()
    bell.ring()
    assert await _returns(waiting)
    await bell.wait()


async def test_hushed_it_is_waited_for_again() -> None:
    bell = Bell()
    bell.ring()
    bell.hush()
    waiting = asyncio.create_task(bell.wait())
    assert not await _returns(waiting)
    bell.ring()
    bell.hush()  # before the waiter's turn: what it was told of has been seen to
    assert not await _returns(waiting)
    bell.ring()
    assert await _returns(waiting)


async def test_a_waiter_that_is_cancelled_leaves_the_bell_as_it_was() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.wait())
    assert not await _returns(waiting)
    waiting.cancel()
    assert await _returns(waiting)
    bell.ring()
    await bell.wait()
