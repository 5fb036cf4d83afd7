"""Clients that come and go, a few hundred of bench/churn.py's hundred thousand: nothing of them stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance.churning import Churn, cut_while_following
from tests.conformance.counted import Counted, blocks_grown, left_behind
from tests.conformance.wire import wire

SEED = 20261126


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Counted]:
    counted = await Counted.start(tmp_path)
    try:
        yield counted
    finally:
        await counted.process.kill()


@pytest.mark.slow
async def test_after_hundreds_of_visits_the_same_is_held_as_before_them(server: Counted) -> None:
    clients = Churn(server.port, server.token, SEED)
    await clients.run(100, at_once=20)
    before = await server.held()
    clients.ends.clear()
    await clients.run(400, at_once=20)
    async with asyncio.timeout(30):
        while left := left_behind(before, await server.held()):  # noqa: ASYNC110 (of another process)
            await asyncio.sleep(0.2)
    assert not left
    assert blocks_grown(before, await server.held()) < 5
    assert len(clients.ends) >= 12 and clients.ends["refused"] < 400
    assert "internal_error" not in server.process.stderr.read_text()


async def test_a_client_that_stays_is_counted(server: Counted) -> None:
    before = await server.held()
    async with wire(server.port) as talk:
        await cut_while_following(talk, server.token("m-1"), "m-1")
        left = left_behind(before, await server.held())
    assert left["tasks"] and left["files"] == {"socket": 1}
    assert any("Conversation" in name for name in left["objects"])
