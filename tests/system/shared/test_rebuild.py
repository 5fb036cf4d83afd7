"""A Redis that was emptied is filled from the log: by a command, and by the instances themselves, one at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.system.program import question
from tests.system.shared.cluster import cluster, own_redis
from tests.system.shared.roaming import Roaming

pytestmark = pytest.mark.services
LIST = """
query List { coverageRequests(memberId: "m-1", first: 50) { edges { node { id status coverage { status } } } } }
"""


async def listed(client: Roaming, at: int = 0) -> dict[str, str]:
    found = (await client.execute_surely(LIST, at=at))["coverageRequests"]["edges"]
    return {edge["node"]["id"]: edge["node"]["status"] for edge in found}


async def ten_ended(client: Roaming) -> dict[str, str]:
    asked = [question("m-1", "SIMOK", last_name=f"Name{'abcdefghij'[number]}") for number in range(10)]
    for request_id in [await client.submitted(each) for each in asked]:
        await client.ended(request_id)
    return await listed(client)


async def test_the_command_fills_what_was_emptied_while_nothing_runs(tmp_path: Path, kafka_address: str) -> None:
    async with (
        own_redis(tmp_path) as redis,
        cluster(tmp_path, kafka_address, redis.url) as together,
        Redis.from_url(redis.url) as inside,
    ):
        gateway, worker = await asyncio.gather(together.serve(), together.worker())
        before = await ten_ended(together.client(gateway))
        assert set(before.values()) == {"COMPLETED"}
        await asyncio.gather(gateway.stop(), worker.stop())
        await inside.flushall()

        done = await together.run("rebuild")

        assert (done.code, done.out) == (0, "")
        assert "Redis holds all that the log has." in done.err
        assert [key async for key in inside.scan_iter(match="covey:*request:*")]
        await gateway.start()
        assert await listed(together.client(gateway)) == before


async def test_instances_that_find_it_empty_fill_it_one_at_a_time(tmp_path: Path, kafka_address: str) -> None:
    async with (
        own_redis(tmp_path) as redis,
        cluster(tmp_path, kafka_address, redis.url) as together,
        Redis.from_url(redis.url) as inside,
    ):
        first, second, _ = await asyncio.gather(together.serve(), together.serve(), together.worker())
        client = together.client(first, second)
        before = await ten_ended(client)
        await inside.flushall()
        holders = await _holders(inside, client, before)
        after = await client.submitted(question("m-1", "SIMOK", last_name="After"))
        assert await client.ended(after) == "COMPLETED"
        assert await listed(client, at=1) == {**before, after: "COMPLETED"}
    assert holders  # seen one after the other: the key holds one


async def _holders(inside: Redis, client: Roaming, before: dict[str, str]) -> set[bytes | str]:
    """Who held the rebuild's lease until both gateways list again what they did."""
    holders: set[bytes | str] = set()
    async with asyncio.timeout(30):
        while any([await listed(client, at=at) != before for at in (0, 1)]):
            async for key in inside.scan_iter(match="covey:*rebuild"):
                holder = await inside.get(key)
                if holder is not None:
                    holders.add(holder)
    return holders
