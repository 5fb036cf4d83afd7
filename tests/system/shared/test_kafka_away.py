"""Kafka stopped for a while, and a broker of three killed: new work is refused clearly, the rest is still answered."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from tests.services.kafka import KafkaServer
from tests.system.program import STATUS, TERMINAL, question, subscribe
from tests.system.shared.cluster import cluster, own_redis
from tests.system.shared.load import Load
from tests.system.shared.roaming import MEMBER_EVENTS, items_of

pytestmark = [pytest.mark.services, pytest.mark.slow]
REFUSED_SECONDS = 5.0
ANSWERED_SECONDS = 8.0
"""A stale answer waits for a refresh that cannot start, for as long as an append takes to be refused."""
CACHED = """
query Cached($input: CoverageQuestion!) { coverage(input: $input) { status } }
"""


async def test_while_kafka_is_away_work_is_refused_and_what_is_known_is_answered(
    tmp_path: Path, service_addresses: dict[str, str]
) -> None:
    del service_addresses  # Kafka's jars are there
    kafka = KafkaServer(tmp_path / "kafka")
    await kafka.start()
    try:
        async with (
            own_redis(tmp_path) as redis,
            # Every answer is stale at once: given out, and refreshed.
            cluster(tmp_path, kafka.address, redis.url, keep=True, cache_fresh_seconds="0") as together,
        ):
            first, second, _ = await asyncio.gather(together.serve(), together.serve(), together.worker())
            client = together.client(first, second)
            asked = question("m-1", "SIMOK")
            known = await client.submitted(asked)
            assert await client.ended(known) == "COMPLETED"
            slow = await client.submitted(question("m-1", "SIMSLOW"))
            async with client.socket(0) as socket_:
                await subscribe(socket_, MEMBER_EVENTS, member="m-1")
                events = items_of(socket_, "memberEvents")
                assert (await anext(events))["__typename"] == "Checkpoint"
                await kafka.stop()

                async with asyncio.timeout(ANSWERED_SECONDS):
                    stale = await client.submit(asked, at=0, cacheMode="DEFAULT")
                assert stale["coverage"] == {"status": "ACTIVE", "requestId": known}
                late = question("m-1", "SIMOK", last_name="Late")
                for at, key in ((1, {"idempotencyKey": "late"}), (0, {}), (1, {})):
                    began = time.monotonic()
                    refused = await client.submit(late, at=at, **key)
                    assert refused["reason"] == "LOG_UNAVAILABLE"
                    assert time.monotonic() - began < REFUSED_SECONDS
                    assert (await client.execute(STATUS, at=at, id=known))["coverageRequest"]["status"] == "COMPLETED"
                    assert (await client.execute(CACHED, at=at, input=asked))["coverage"]["status"] == "ACTIVE"
                    assert "log" in (await together.instances[at].readyz(503))["reasons"]
                await asyncio.sleep(15)

                await kafka.start()
                for instance in together.instances:
                    await instance.readyz(200)
                later = await client.submitted_surely(question("m-1", "SIMOK", last_name="Later"), "later")
                assert await client.ended(later) == "COMPLETED"
                assert await client.ended(slow) in TERMINAL
                async with asyncio.timeout(20):  # the same socket all the time
                    async for item in events:
                        if item.get("requestId") == later and item["type"] == "COMPLETED":
                            break
            items = await client.follow(slow, at=1)
            assert [item["sequence"] for item in items] == list(range(1, len(items) + 1))
    finally:
        kafka.kill()


async def test_a_broker_of_three_is_killed_and_brought_back_under_load(
    tmp_path: Path, service_addresses: dict[str, str]
) -> None:
    del service_addresses
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails, to run it again
    brokers = KafkaServer.cluster(tmp_path / "kafka", 3)
    await asyncio.gather(*(broker.start() for broker in brokers))
    kafka = ",".join(broker.address for broker in brokers)
    try:
        async with (
            own_redis(tmp_path) as redis,
            cluster(tmp_path, kafka, redis.url, replication=3, keep=True) as together,
        ):
            first, second, *_ = await asyncio.gather(
                together.serve(), together.serve(), together.worker(), together.worker()
            )
            load = Load(together.client(first, second), random.Random(seed))
            await asyncio.sleep(4)
            victim = random.Random(seed).choice(brokers)
            victim.kill()
            await asyncio.sleep(10)
            during = len(load.acknowledged)
            await asyncio.sleep(3)
            assert len(load.acknowledged) > during  # two of three are enough
            await victim.start()
            await asyncio.sleep(3)
            await load.stop()
            await load.verify(together, kafka)
    finally:
        for broker in brokers:
            broker.kill()
