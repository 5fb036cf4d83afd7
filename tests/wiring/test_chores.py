"""What instances do beside their work: each tells of its sockets, and one at a time sweeps for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app import Program, assembled
from bus.redis.lease import RedisLease
from delivery.redis_presence import RedisPresence
from scheduler.upkeep import Upkeep
from settings import load
from tests.bus.kafka_logs import link_to, new_topics
from wiring.duties import Duties

pytestmark = pytest.mark.services


@asynccontextmanager
async def instances(folder: Path, kafka: str, redis: str, *, workers: int) -> AsyncIterator[tuple[Program, Program]]:
    """Two over topics of their own; none of their chores runs yet."""
    async with new_topics(link_to(kafka), partitions=1) as prefix:
        settings = load(
            data=folder,
            log=f"kafka://{kafka}",
            state=redis,
            topic_prefix=prefix,
            topic_partitions=1,
            topic_replication=1,
            topic_min_in_sync=1,
            cursor_key="a cursor key of this test, the same for both",
        )
        duties = Duties(gateway=True, workers=workers)
        async with (
            assembled(settings, url="http://127.0.0.1:9", duties=duties) as one,
            assembled(settings, url="http://127.0.0.1:9", duties=duties) as other,
        ):
            yield one, other


async def test_an_instance_that_cannot_tell_of_its_sockets_by_a_fault_of_ours_does_not_go_on_in_silence(
    tmp_path: Path, kafka_address: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def beat(*_: object) -> None:
        raise RuntimeError("A fault of ours.")

    monkeypatch.setattr(RedisPresence, "beat", beat)
    async with instances(tmp_path, kafka_address, redis_url, workers=0) as (program, _):
        with pytest.raises(RuntimeError, match="A fault of ours"):
            await program.chores["presence"]()  # what a chore raises ends the program


async def test_of_all_gateways_and_workers_of_all_instances_one_sweeps(
    tmp_path: Path, kafka_address: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    askers: set[RedisLease] = set()
    sweeps: list[Upkeep] = []
    all_asked = asyncio.Event()
    acquire = RedisLease.acquire

    async def acquired(lease: RedisLease) -> bool:
        mine = await acquire(lease)
        askers.add(lease)
        if len(askers) == 6:
            all_asked.set()
        return mine

    async def sweep(upkeep: Upkeep) -> None:
        sweeps.append(upkeep)

    monkeypatch.setattr(RedisLease, "acquire", acquired)
    monkeypatch.setattr(Upkeep, "_sweep", sweep)
    async with instances(tmp_path, kafka_address, redis_url, workers=2) as programs:
        chores = [chore for program in programs for name, chore in program.chores.items() if "upkeep" in name]
        running = [asyncio.create_task(chore()) for chore in chores]
        async with asyncio.timeout(20):
            await all_asked.wait()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert len(sweeps) == 1
