"""The server: a signal drains it, and a second one does not wait."""

from __future__ import annotations

import asyncio
import signal

import pytest

from delivery.server import DrainingServer
from tests.delivery.harness import Harness, door_tasks, eventually, http_client, until_stalled
from tests.delivery.issued import member_token


async def started(harness: Harness) -> tuple[DrainingServer, asyncio.Task[None]]:
    server = DrainingServer(harness.config(), harness.drain.run)
    serving = asyncio.create_task(server._serve())
    await eventually(lambda: server.started)
    harness.port = server.port
    return server, serving


async def test_a_signal_drains_while_it_still_listens_and_then_stops() -> None:
    harness = Harness(drain_seconds=5)
    server, serving = await started(harness)
    async with harness.member() as talk, http_client() as client:
        server.handle_exit(signal.SIGTERM, None)
        await eventually(lambda: harness.drain.active and harness.clock.sleeping == 2)
        headers = {"authorization": f"Bearer {member_token()}"}
        assert (await client.post(harness.url, json={"query": "{ hello }"}, headers=headers)).status_code == 503
        async with harness.member() as late:
            assert (await late.closed())[0] == 1012
        assert await talk.alive()
        harness.clock.advance(5)
        assert (await talk.closed())[0] == 1012
    await serving
    assert not door_tasks()
    assert len(harness.connections) == 0


async def test_a_second_signal_ends_the_drain_and_sockets_hear_1012_all_the_same() -> None:
    harness = Harness(drain_seconds=3600)
    server, serving = await started(harness)
    async with harness.member() as talk:
        server.handle_exit(signal.SIGTERM, None)
        await eventually(lambda: harness.drain.active and harness.clock.sleeping == 2)
        server.handle_exit(signal.SIGTERM, None)
        assert (await talk.closed())[0] == 1012
    await serving
    assert not door_tasks()


async def test_a_drain_does_not_wait_for_a_reader_that_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.drain._CLOSE_SECONDS", 0.05)
    async with Harness(drain_seconds=0).serving() as harness:
        async with harness.member() as talk:
            talk.connection.transport.pause_reading()
            await talk.subscribe("1", "subscription { firehose(size: 60000) }")
            await until_stalled(harness)
            await harness.drain.run()
            talk.connection.transport.abort()
        await eventually(lambda: len(harness.connections) == 0)


async def test_a_real_signal_stops_the_server_and_not_the_process() -> None:
    harness = Harness(drain_seconds=0)
    before = signal.getsignal(signal.SIGTERM)
    server = DrainingServer(harness.config(), harness.drain.run)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    signal.raise_signal(signal.SIGTERM)
    await serving
    assert harness.drain.active
    assert signal.getsignal(signal.SIGTERM) == before
