"""With a data key nothing of a person is in clear in Kafka or Redis; what is needed to route an event still is."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from bus.events import Topic
from bus.sealing import TenantSealer
from tests.system.program import question
from tests.system.shared.cluster import cluster, own_redis
from tests.system.shared.truth import records, truth

pytestmark = pytest.mark.services
KEY = "a data key of this test, long enough for it"
SECRETS = ("Zebedee", "Quuxington", "1987-06-05", "CARD8765309", "ACTIVE", "benefits", "deductible")
"""Of the person, the card, and the coverage that came back."""
PERSON = {"firstName": "Zebedee", "lastName": "Quuxington", "dateOfBirth": "1987-06-05", "memberId": "CARD8765309"}


async def test_nothing_of_a_person_is_in_clear(tmp_path: Path, kafka_address: str) -> None:
    async with (
        own_redis(tmp_path) as redis,
        cluster(tmp_path, kafka_address, redis.url, data_key=KEY) as together,
        Redis.from_url(redis.url) as client,
    ):
        gateway, worker = await asyncio.gather(together.serve(), together.worker())
        caller = together.client(gateway)
        asked = {**question("our-member-77", "SIMOK"), "subscriber": PERSON}
        request_id = await caller.submitted(asked)
        items = await caller.follow(request_id)
        slow = await caller.submitted({**question("our-member-77", "SIMSLOW"), "subscriber": PERSON})
        seen = await _everything(client)  # with one that waits or is called
        await caller.follow(slow)
        seen |= await _everything(client)
        stored = await records(kafka_address, f"{together.prefix}{Topic.RTE}")
        told = await truth(kafka_address, together.prefix, TenantSealer(KEY.encode()))
        read = await _kcat(kafka_address, f"{together.prefix}{Topic.RTE}")
        async with httpx.AsyncClient() as http:
            metrics = [(await http.get(f"{one.url}/metrics")).text for one in (gateway, worker)]
        written = "".join([gateway.written(), worker.written(), *metrics])
        await redis.stop()
        on_disk = b"".join(path.read_bytes() for path in redis.process.folder.rglob("*") if path.is_file())

    assert items[-1]["type"] == "COMPLETED"
    assert told.agrees(request_id, items)  # the key opens it
    assert stored
    for secret in SECRETS:
        assert not [1 for record in stored if secret.encode() in (record.value or b"") + (record.key or b"")]
        assert not [1 for record in stored for _, value in record.headers if secret.encode() in value]
        assert not [key for key, value in seen.items() if secret.encode() in key + value]
        assert secret.encode() not in on_disk
        assert not re.search(rf"\b{secret}\b", written)  # INTERACTIVE is no secret
    assert not [key for key in seen if b"our-member-77" in key]

    mine = [headers for headers in read if headers.get("ce_subject") == request_id]
    assert [headers["ce_type"] for headers in mine] == [
        "rte.submitted", "rte.enqueued", "rte.scheduled", "rte.started", "rte.completed",
    ]  # fmt: skip
    assert [headers["ce_sequence"] for headers in mine] == ["1", "2", "3", "4", "5"]
    assert {headers["ce_tenantid"] for headers in mine} == {"t-1"}
    assert {headers["ce_memberid"] for headers in mine} == {"our-member-77"}


async def _everything(client: Redis) -> dict[bytes, bytes]:
    """Every key of a Redis, and what is under it in Redis' own words."""
    found = {}
    async for key in client.scan_iter(count=1_000):
        found[key] = await _value(client, key)
    return found


async def _value(client: Redis, key: bytes) -> bytes:
    kind = await client.type(key)
    value: Any
    match kind:
        case b"string":
            value = [await client.get(key)]
        case b"hash":
            value = [part for pair in (await client.hgetall(key)).items() for part in pair]
        case b"set":
            value = list(await client.smembers(key))
        case b"zset":
            value = await client.zrange(key, 0, -1)
        case b"stream":
            entries: Any = await client.xrange(key)
            value = [part for _, fields in entries for pair in fields.items() for part in pair]
        case _:
            value = []
    return b"\n".join(part for part in value if part is not None)


async def _kcat(kafka: str, topic: str) -> list[dict[str, str]]:
    """The headers of every record, as a client sees them that nobody here wrote."""
    command = ["kcat", "-C", "-b", kafka, "-t", topic, "-e", "-q", "-f", "%h\n"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    return [dict(part.split("=", 1) for part in line.split(",") if "=" in part) for line in lines]
