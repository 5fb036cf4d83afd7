"""What a WebSocket connection keeps is small, and works as what it is in place of."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Mapping
from typing import Any, cast

from delivery.lean import Inbox, LeanConnection, Passage
from delivery.stall import StallGuard
from tests.delivery.harness import Harness


async def test_an_inbox_gives_what_came_in_order_and_waits_for_more() -> None:
    inbox = Inbox()
    first: Mapping[str, Any] = {"type": "a"}
    inbox.put_nowait(first)
    inbox.put_nowait({"type": "b"})
    assert not inbox.empty()
    assert [(await inbox.get())["type"] for _ in range(2)] == ["a", "b"]
    assert inbox.empty()
    waiting = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put_nowait({"type": "c"})
    inbox.put_nowait({"type": "d"})
    assert (await waiting)["type"] == "c"
    assert (await inbox.get())["type"] == "d"


async def test_a_receiver_that_was_cancelled_loses_nothing() -> None:
    inbox = Inbox()
    gone = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put_nowait({"type": "a"})
    gone.cancel()
    await asyncio.wait({gone})
    assert (await inbox.get())["type"] == "a"


async def test_a_passage_lets_through_until_it_is_shut_and_again_when_it_opens() -> None:
    passage = Passage()
    await passage.wait()
    passage.clear()
    passing = [asyncio.create_task(passage.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not passage.is_set()
    assert not any(one.done() for one in passing)
    passage.set()
    await asyncio.gather(*passing)


async def test_who_waited_goes_on_waiting_where_the_passage_was_shut_again_before_its_turn() -> None:
    passage = Passage()
    passage.clear()
    passing = asyncio.create_task(passage.wait())
    await asyncio.sleep(0)
    passage.set()
    passage.clear()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not passing.done()
    passage.set()
    await passing


async def test_nothing_is_kept_of_a_handshake_that_is_over(served: Harness) -> None:
    async with served.member() as talk:
        assert await talk.alive()
        (server_side,) = [
            # Asked by its type: of a weak proxy whose object has gone not even the class can be told.
            each
            for each in gc.get_objects()
            if issubclass(type(each), StallGuard) and each in each.connections
        ]
        assert server_side.scope["headers"] == []
        assert not hasattr(server_side, "request") and not hasattr(server_side, "response")
        assert "request" not in inspect.getgeneratorlocals(server_side.conn.parser)


class PingTimes(LeanConnection):
    """Of uvicorn's protocol only when it pings."""

    def __init__(self, loop: FakeLoop) -> None:
        self.loop = cast("asyncio.AbstractEventLoop", loop)
        self.ping_interval = 20.0
        self.last_ping_rtt = 0.0


class FakeLoop:
    """Tells the time that it is told, and remembers when it was to call."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[float] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, _: object) -> None:
        self.due.append(round(self.now + delay, 6))


def test_pings_go_together_and_no_later_than_their_interval() -> None:
    loop = FakeLoop()
    connection = PingTimes(loop)
    for loop.now in (100.01, 100.05, 100.19, 100.21):
        connection.schedule_ping()
    assert loop.due == [120.0, 120.0, 120.0, 120.2]
