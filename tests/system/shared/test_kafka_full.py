"""Kafka takes no more events, for want of rights or of room: work is refused, the rest is answered, nothing is lost."""

from __future__ import annotations

import asyncio
import random
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.services.kafka import KafkaServer
from tests.services.topic_rights import AUTHORIZER, Right, denied
from tests.system.program import STATUS, question
from tests.system.shared.cluster import Cluster, cluster, own_redis
from tests.system.shared.load import Load
from tests.system.shared.roaming import Roaming

pytestmark = [pytest.mark.services, pytest.mark.slow]
DEADLINE_SECONDS = 25
CACHED = """
query Cached($input: CoverageQuestion!) { coverage(input: $input) { status } }
"""
ASKED = question("m-known", "SIMOK")


class Filling:
    """Two gateways and two workers under load, and one request that has ended."""

    def __init__(self, kafka: KafkaServer, together: Cluster, client: Roaming, load: Load, known: str) -> None:
        self.kafka = kafka
        self.cluster = together
        self.load = load
        self._client = client
        self._known = known

    async def refuses(self) -> None:
        """Each gateway takes nothing, says so, and tells what it knows."""
        for at in (0, 1):
            refused = await self._client.submit(question("m-late", "SIMOK"), at=at)
            assert refused["reason"] == "LOG_UNAVAILABLE", refused
            found = await self._client.execute(STATUS, at=at, id=self._known)
            assert found["coverageRequest"]["status"] == "COMPLETED"
            assert (await self._client.execute(CACHED, at=at, input=ASKED))["coverage"]["status"] == "ACTIVE"

    async def resumes(self) -> None:
        """All are ready again, and everything that was acknowledged before, meanwhile and now ends as it should."""
        for instance in self.cluster.instances:
            await instance.readyz(200)
        later = await self._client.submitted_surely(question("m-known", "SIMOK", last_name="Later"), "later")
        assert await self._client.ended(later) == "COMPLETED"
        await self.load.stop()
        await self.load.verify(self.cluster, self.kafka.address)


@asynccontextmanager
async def filling(folder: Path, properties: dict[str, str] | None = None) -> AsyncIterator[Filling]:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails, to run it again
    kafka = KafkaServer(folder / "kafka", properties=properties)
    await kafka.start()
    try:
        async with own_redis(folder) as redis, cluster(folder, kafka.address, redis.url, keep=True) as together:
            first, second, *_ = await asyncio.gather(
                together.serve(), together.serve(), together.worker(), together.worker()
            )
            client = together.client(first, second)
            known = await client.submitted(ASKED)
            assert await client.ended(known) == "COMPLETED"
            load = Load(together.client(first, second), random.Random(seed), deadline_seconds=DEADLINE_SECONDS)
            await asyncio.sleep(4)
            yield Filling(kafka, together, client, load, known)
    finally:
        kafka.kill()


@pytest.mark.usefixtures("service_addresses")  # Kafka's jars are there
async def test_topics_that_may_only_be_read_refuse_work_until_they_may_be_written(tmp_path: Path) -> None:
    async with filling(tmp_path, AUTHORIZER) as kept:
        async with denied(kept.kafka.address, kept.cluster.prefix, Right.WRITE):
            await kept.refuses()
            for instance in kept.cluster.instances:
                assert "`Write`" in (await instance.readyz(503))["reasons"]["log"]
            await asyncio.sleep(3)  # calls that were under way end meanwhile, and cannot tell
        await kept.resumes()


@pytest.mark.usefixtures("service_addresses")
async def test_a_broker_whose_disk_is_full_ends_and_all_goes_on_once_it_has_room_again(tmp_path: Path) -> None:
    async with filling(tmp_path) as kept:
        fill_disk(kept.kafka)
        async with asyncio.timeout(20):  # Kafka ends itself where its only folder can't be written
            while kept.kafka.process.pid is not None:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.1)
        await kept.refuses()
        for instance in kept.cluster.instances:
            assert "log" in (await instance.readyz(503))["reasons"]
        await kept.kafka.start()  # a new process, which has room
        await kept.resumes()


def fill_disk(kafka: KafkaServer) -> None:
    """From now on no file of the broker grows, as on a full disk."""
    pid = kafka.process.pid
    assert pid is not None
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
