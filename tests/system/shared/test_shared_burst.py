"""Two hundred checks at once over two gateways, from twenty tenants: all workers together never exceed the account."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.system.program import question
from tests.system.shared.cluster import cluster, own_redis

pytestmark = [pytest.mark.services, pytest.mark.slow]
PAYERS = ("60054", "62308", "87726", "61101", "SIMOK", "SIMOK")


async def test_two_hundred_checks_over_two_gateways_and_workers_never_bring_a_429(
    tmp_path: Path, kafka_address: str
) -> None:
    async with (
        own_redis(tmp_path) as redis,
        cluster(tmp_path, kafka_address, redis.url, lease_seconds="30", call_timeout_seconds="20") as together,
    ):
        first, second, *_ = await asyncio.gather(
            together.serve(), together.serve(), together.worker(), together.worker()
        )
        clients = [together.client(first, second, tenant=f"t-{number}") for number in range(20)]

        async def check(number: int) -> str:
            client = clients[number % 20]
            asked = question(f"m-{number}", PAYERS[number % 6], last_name="Burst")
            priority = ("INTERACTIVE", "ENROLLMENT", "BACKGROUND")[number % 3]
            at = number // 20 % 2
            request_id = await client.submitted(asked, at=at, priority=priority, deadlineSeconds=600)
            return str((await client.follow(request_id, at=1 - at))[-1]["type"])

        ended = await asyncio.gather(*(check(number) for number in range(200)))
        stats = await together.stats()
    assert set(ended) <= {"COMPLETED", "FAILED"}
    assert ended.count("COMPLETED") > 0
    assert stats["refused"] == 0
    assert stats["max_in_flight"] <= 15
    assert stats["calls"] >= 200
