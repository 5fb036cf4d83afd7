"""Many timers, one task."""

from __future__ import annotations

import asyncio

from delivery.timers import Timers
from tests.delivery.manual_clock import ManualClock


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def timer_tasks() -> int:
    return sum(task.get_name() == "timers" for task in asyncio.all_tasks())


async def test_each_is_called_at_its_time_by_one_task_that_ends_with_the_last() -> None:
    clock, called = ManualClock(), list[int]()
    timers = Timers(clock)
    for seconds in (30, 10, 20, 10):
        timers.after(seconds, lambda seconds=seconds: called.append(seconds))  # type: ignore[misc]
    await settle()
    assert (clock.sleeping, timer_tasks()) == (1, 1)
    told = []
    for _ in range(3):
        clock.advance(10)
        await settle()
        told.append(list(called))
    assert told == [[10, 10], [10, 10, 20], [10, 10, 20, 30]]
    assert timer_tasks() == 0


async def test_an_earlier_one_that_comes_later_is_not_late() -> None:
    clock, called = ManualClock(), list[str]()
    timers = Timers(clock)
    timers.after(100, lambda: called.append("late"))
    await settle()
    timers.after(1, lambda: called.append("early"))
    await settle()
    clock.advance(1)
    await settle()
    assert called == ["early"] and timer_tasks() == 1


async def test_what_is_cancelled_is_not_called_and_leaves_nothing() -> None:
    clock, called = ManualClock(), list[int]()
    timers = Timers(clock)
    those = [timers.after(10, lambda number=number: called.append(number)) for number in range(1000)]  # type: ignore[misc]
    for each in those[1:]:
        timers.cancel(each)
        timers.cancel(each)  # again changes nothing
    assert len(timers._due) <= 130
    await settle()
    clock.advance(10)
    await settle()
    assert called == [0]
    timers.cancel(those[0])  # it was called
    timers.cancel(timers.after(10, lambda: None))
    await settle()
    assert (timer_tasks(), timers._due) == (0, [])


async def test_what_one_raises_is_not_another_s() -> None:
    clock, called, raised = ManualClock(), list[int](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
    timers = Timers(clock)
    timers.after(1, lambda: called.append(1 // 0))
    timers.after(1, lambda: called.append(1))
    await settle()
    clock.advance(1)
    await settle()
    assert called == [1] and len(raised) == 1


async def test_those_within_a_grain_come_together_at_its_end() -> None:
    timers = Timers(ManualClock(), grain_seconds=0.5)
    due = [timers.after(seconds, lambda: None).due for seconds in (20.0, 20.01, 20.4, 20.6)]
    assert due == [20.0, 20.5, 20.5, 21.0]


class EarlyClock(ManualClock):
    """Wakes sleepers a little too early, as event loops do."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds - 0.001)


async def test_a_loop_that_wakes_too_early_is_not_asked_again_and_again() -> None:
    clock, called = EarlyClock(), list[int]()
    Timers(clock).after(10, lambda: called.append(1))
    await settle()
    clock.advance(9.9995)
    await settle()
    assert called == [1] and timer_tasks() == 0
