"""Workers come and go while all slots are taken by long calls: each request ends once, within the slots."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.system.program import question
from tests.system.shared.cluster import Cluster, cluster, own_redis
from tests.system.shared.truth import truth

pytestmark = [pytest.mark.services, pytest.mark.slow]
SLOTS = 15
REQUESTS = 20


async def test_workers_join_and_another_leaves_in_the_middle_of_fifteen_long_calls(
    tmp_path: Path, kafka_address: str
) -> None:
    async with (
        own_redis(tmp_path) as redis,
        cluster(
            tmp_path,
            kafka_address,
            redis.url,
            speed=12,  # a long call lasts five to eight seconds: longer than it takes to begin them and to drain
            slots_per_payer=str(SLOTS),
            lease_seconds="14",
            call_timeout_seconds="9",
            drain_seconds="1",
        ) as together,
    ):
        gateway, leaving = await asyncio.gather(together.serve(), together.worker())
        client = together.client(gateway)
        requests = await asyncio.gather(
            *(client.submitted(question(f"m-{number}", "SIMSLOW")) for number in range(REQUESTS))
        )
        following = [asyncio.create_task(client.follow(request_id)) for request_id in requests]
        await calls_begun(together)  # all of them by the one worker that there is
        staying, joining = together.new("worker"), together.new("worker")
        code, *_ = await asyncio.gather(leaving.stop(), staying.start(), joining.start())
        assert code == 0
        assert "Traceback" not in leaving.written()

        async with asyncio.timeout(60):
            seen = dict(zip(requests, await asyncio.gather(*following), strict=True))
        assert await staying.stop() == 0
        stats = await together.stats()
        told = await truth(kafka_address, together.prefix)
    assert stats["max_in_flight"] == SLOTS and stats["refused"] == 0, stats
    assert {request_id: items[-1]["type"] for request_id, items in seen.items()} == dict.fromkeys(requests, "COMPLETED")
    assert {request_id: told.endings[request_id] for request_id in requests} == dict.fromkeys(requests, 1)
    assert [request_id for request_id, items in seen.items() if not told.agrees(request_id, items)] == []
    assert max(state.attempt for state in told.states.values()) >= 2  # some calls were handed over


async def calls_begun(together: Cluster) -> None:
    """Wait until every slot is taken at the payer's side."""
    async with asyncio.timeout(20):
        while (await together.stats())["in_flight"] < SLOTS:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.02)
