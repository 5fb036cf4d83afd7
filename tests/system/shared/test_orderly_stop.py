"""SIGTERM: gateways send their clients elsewhere, workers end their calls or hand them over, and nothing is missed."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.system.program import FOLLOW, close_code, free_port, question, subscribe
from tests.system.shared.cluster import cluster, own_redis
from tests.system.shared.roaming import MEMBER_EVENTS, items_of
from tests.system.shared.truth import truth

pytestmark = [pytest.mark.services, pytest.mark.slow]


async def test_a_gateway_sends_its_clients_to_the_other_one(tmp_path: Path, kafka_address: str) -> None:
    async with (
        own_redis(tmp_path) as redis,
        cluster(tmp_path, kafka_address, redis.url) as together,
        AsyncExitStack() as sockets,
    ):
        first, second, _ = await asyncio.gather(together.serve(), together.serve(), together.worker())
        client = together.client(first, second)
        requests = [await client.submitted(question("m-1", "SIMSLOW", last_name=name)) for name in ("Ash", "Bee")]
        following = [asyncio.create_task(client.follow(request_id)) for request_id in requests]
        idle = [await sockets.enter_async_context(client.socket(0)) for _ in range(5)]
        for socket_ in idle:
            await subscribe(socket_, MEMBER_EVENTS, member="m-1")
            assert (await anext(items_of(socket_, "memberEvents")))["__typename"] == "Checkpoint"
        closing = [asyncio.create_task(close_code(socket_)) for socket_ in idle]

        first.signal(signal.SIGTERM)
        assert list((await first.readyz(503))["reasons"]) == ["drain"]
        await second.readyz(200)
        assert await asyncio.gather(*closing) == [1012] * 5
        assert await first.stop() == 0
        assert "Traceback" not in first.written()

        for items in await asyncio.gather(*following):
            assert [item["sequence"] for item in items] == list(range(1, len(items) + 1))
            assert items[-1]["type"] == "COMPLETED"


async def test_a_worker_ends_its_calls_or_hands_them_over(tmp_path: Path, kafka_address: str) -> None:
    async with (
        own_redis(tmp_path) as redis,
        cluster(
            tmp_path,
            kafka_address,
            redis.url,
            speed=20,
            drain_seconds="2",
            lease_seconds="60",
            call_timeout_seconds="50",
        ) as together,
    ):
        gateway, leaving = await asyncio.gather(together.serve(), together.worker())
        client = together.client(gateway)
        quick = await client.submitted(question("m-1", "SIMOK"))
        long = await client.submitted(question("m-1", "SIMHANG"))
        async with asyncio.timeout(20):
            async for item in client.items(0, FOLLOW, "coverageRequestEvents", id=long):
                if item["type"] == "STARTED":
                    break
        staying = await together.worker()

        leaving.signal(signal.SIGTERM)
        assert list((await leaving.readyz(503))["reasons"]) == ["drain"]
        assert await leaving.stop() == 0
        assert "Traceback" not in leaving.written()
        assert await client.ended(quick) == "COMPLETED"
        async with httpx.AsyncClient() as http:
            await http.post(f"{together.payer_url}/sim/payers/SIMHANG", json={"behaviour": "SIMOK"})
        async with asyncio.timeout(20):  # not: the 30 s after which a silent worker is taken for dead
            assert await client.ended(long) == "COMPLETED"
        assert await staying.stop() == 0
        stats = await together.stats()
        told = await truth(kafka_address, together.prefix)
    assert told.endings[long] == 1
    assert told.states[long].attempt >= 2  # more where the machine was so slow that a lease was too short to begin
    assert stats["max_in_flight"] <= 15


@pytest.mark.parametrize("role", ["serve", "worker"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_during_the_start_is_orderly_too(
    tmp_path: Path, kafka_address: str, role: str, number: signal.Signals
) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"  # so that the start waits for what instances share
    async with cluster(tmp_path, kafka_address, away, drain_seconds="1") as together:
        starting = await together.new(role).start(ready=False)
        async with asyncio.timeout(60):
            while "not_renewed" not in starting.written():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert starting.process is not None
        assert await starting.process.stop(number) == 0
        assert "Ready at" not in starting.written()
        assert "Traceback" not in starting.written()
