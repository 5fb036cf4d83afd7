"""`covey rebuild`, against a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import StringIO

import pytest
from rich.console import Console

from bus.clock import SystemClock
from console.rebuild import shown
from tests.bus.redis_world import RedisWorld, redis_world
from tests.bus.test_redis_rebuild import PARTITIONS, Partitions, complete, lease_of, rebuild_of

pytestmark = pytest.mark.services


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[RedisWorld]:
    async with redis_world(redis_url) as world:
        yield world


async def test_a_terminal_shows_how_far_it_is(world: RedisWorld) -> None:
    log, console = Partitions(20), Console(file=StringIO(), force_terminal=True, width=120)
    assert await shown(rebuild_of(world, log), SystemClock(), console) == 0
    assert await complete(world, log)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # the file is the StringIO given above
    assert f"{40 * PARTITIONS}/{40 * PARTITIONS}" in text
    assert "Redis holds all that the log has." in text


async def test_elsewhere_it_only_says_how_it_ended(world: RedisWorld) -> None:
    console = Console(file=StringIO(), force_terminal=False)
    assert await shown(rebuild_of(world, Partitions(2)), SystemClock(), console) == 0
    assert console.file.getvalue() == "Redis holds all that the log has.\n"  # type: ignore[attr-defined]  # see above


async def test_it_waits_for_an_instance_that_does_it_already(
    world: RedisWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.rebuild._LOOK_AGAIN_SECONDS", 0.01)
    console, other, log = Console(file=StringIO(), force_terminal=False), lease_of(world), Partitions(2)
    assert await other.acquire()
    waiting = asyncio.create_task(shown(rebuild_of(world, log), SystemClock(), console))
    while "waiting" not in console.file.getvalue():  # type: ignore[attr-defined]  # noqa: ASYNC110 - seen from outside
        await asyncio.sleep(0.01)
    assert not await complete(world, log)
    await other.release()
    assert await waiting == 0
    assert await complete(world, log)
