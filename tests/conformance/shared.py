"""Kafka and Redis for one counted server: Redis of its own, so that every key in it is this server's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from redis.asyncio import Redis

from tests.services.redis import RedisServer
from tests.system.program import ended

_TOLD: Final = "admission:answer:"


@asynccontextmanager
async def shared_state(folder: Path, kafka_address: str) -> AsyncIterator[dict[str, str]]:
    """Topics under a prefix nobody else has, and a Redis; the settings that name them. Both are gone at the end."""
    redis, prefix = RedisServer(folder / "redis"), f"churn-{uuid4().hex[:12]}."
    await redis.start()
    settings = {"log": f"kafka://{kafka_address}", "state": redis.url, "topic_prefix": prefix}
    settings |= {"topic_replication": "1", "topic_min_in_sync": "1"}
    try:
        environment = {f"COVEY_{name.upper()}": value for name, value in settings.items()}
        made = await ended("topics", "create", env=environment | {"COVEY_DATA": str(folder / "data")}, seconds=120)
        assert made.code == 0, made
        yield settings
    finally:
        await redis.stop()
        await _delete_topics(kafka_address, prefix)


async def _delete_topics(kafka_address: str, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_address)
    await admin.start()
    try:
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
    finally:
        await admin.close()


async def redis_keys(state: str) -> dict[str, int]:
    """Of each key in Redis the bytes it takes; what workers were told is left out: it goes with its lease."""
    redis = Redis.from_url(state, decode_responses=True)
    try:
        return {
            key: await redis.memory_usage(key) or 0 async for key in redis.scan_iter(count=1000) if _TOLD not in key
        }
    finally:
        await redis.aclose()
