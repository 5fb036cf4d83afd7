"""What others write into our topic, by mistake or not: it is passed over, and nobody stumbles."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from bus.events import Topic
from tests.system.program import question
from tests.system.shared.cluster import cluster, own_redis

pytestmark = pytest.mark.services
RECORDS = (
    b"not an event at all",
    b"\x00\xff\xfe",
    b'{"question": null}',
)
HEADERS = ("ce_specversion=1.0", "ce_id=1", "ce_source=nobody", "ce_time=yesterday", "ce_subject=r-1")
TYPES = ("rte.submitted", "rte.completed", "rte.of_a_later_version", "")


async def test_records_that_nobody_can_read_stop_no_instance(tmp_path: Path, kafka_address: str) -> None:
    async with own_redis(tmp_path) as redis, cluster(tmp_path, kafka_address, redis.url) as together:
        gateway, worker = await asyncio.gather(together.serve(), together.worker())
        client = together.client(gateway)
        assert await client.ended(await client.submitted(question("m-1", "SIMOK", last_name="Before"))) == "COMPLETED"
        for partition in range(6):
            for value in RECORDS:
                for type_ in TYPES:
                    headers = [part for header in (*HEADERS, f"ce_type={type_}") for part in ("-H", header)]
                    await _write(kafka_address, f"{together.prefix}{Topic.RTE}", partition, value, headers)
        following = [await client.submitted(question(f"m-{number}", "SIMOK", last_name="After")) for number in range(6)]
        for request_id in following:
            assert (await client.follow(request_id))[-1]["type"] == "COMPLETED"
        for instance in (gateway, worker):
            await instance.readyz(200)
            assert "Traceback" not in instance.written()
        assert (await together.run("rebuild")).code == 0


async def _write(kafka: str, topic: str, partition: int, value: bytes, headers: list[str]) -> None:
    command = ["kcat", "-P", "-b", kafka, "-t", topic, "-p", str(partition), *headers]
    done = await asyncio.to_thread(subprocess.run, command, input=value, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
