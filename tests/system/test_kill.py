"""SIGKILL at random moments under load: what was acknowledged ends in exactly one terminal event, whatever crashes."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Final

import httpx
import pytest

from bus.clock import SystemClock
from bus.events import Topic
from bus.sqlite.log import SqliteLog
from delivery.caller import Role
from tests.system.program import STATUS, SUBMIT, TERMINAL, Client, Process, free_port, question, running, token

KILLS: Final = int(os.environ.get("TEST_KILLS", "50"))
REQUESTS: Final = 10 * KILLS
MEMBERS: Final = 20
PAYERS: Final = (
    "60054", "62308", "87726", "SIMOK", "SIMSLOW", "SIMHANG",
    "SIMDOWN", "SIMFLAKY", "SIM500", "SIMREJECT", "SIMGARBAGE",
)  # fmt: skip
SPEED: Final = 60
"""Simulated times are divided by this: the vendor's 120 s hold lasts two."""


async def _submit(client: Client, number: int, rng: random.Random) -> str:
    member = f"m-{number % MEMBERS}"
    data = await client.execute_surely(
        SUBMIT,
        input={
            "question": question(member, rng.choice(PAYERS), last_name=f"Name{'abcdefghij'[number % 10]}"),
            "cacheMode": "REQUIRE_FRESH",
            "priority": rng.choice(["INTERACTIVE", "ENROLLMENT", "BACKGROUND"]),
            "deadlineSeconds": 600,
            "idempotencyKey": f"key-{number}",
        },
    )
    result = data["submitCoverageRequest"]
    assert result["__typename"] == "CoverageRequestAccepted", result
    request_id: str = result["request"]["id"]
    return request_id


@pytest.mark.slow
async def test_every_acknowledged_request_ends_once_although_the_program_is_killed_fifty_times(tmp_path: Path) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails, to run it again
    rng = random.Random(seed)
    data, port, sim_port = tmp_path / "data", free_port(), free_port()
    env = {
        "COVEY_DATA": str(data),
        "COVEY_PAYER_URL": f"http://127.0.0.1:{sim_port}",
        "COVEY_CALL_TIMEOUT_SECONDS": "2.5",
        "COVEY_LEASE_SECONDS": "3",
        "COVEY_BREAKER_OPEN_SECONDS": "1",
        "COVEY_LOG_LEVEL": "warning",
    }
    simulator = ("payer-sim", "--port", str(sim_port), "--speed", str(SPEED), "--seed", "7")
    demo = ("demo", "--port", str(port), "--data", str(data))
    ready = f"http://127.0.0.1:{port}/readyz"
    async with running(*simulator, env=env, folder=tmp_path, answers_at=f"http://127.0.0.1:{sim_port}/sim/stats"):
        server = await Process.start(*demo, env=env, folder=tmp_path)
        await server.until_answering(ready)
        client = Client(port, token(data, "-", role=Role.SERVICE))
        followers: dict[str, asyncio.Task[list[dict[str, object]]]] = {}

        async def load() -> list[str]:
            ids = []
            for number in range(REQUESTS):
                request_id = await _submit(client, number, rng)
                ids.append(request_id)
                if number % 5 == 0:
                    followers[request_id] = asyncio.create_task(client.follow(request_id))
                await asyncio.sleep(rng.uniform(0, 0.2))
            return ids

        loading = asyncio.create_task(load())
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.05, 1.5))
            await server.kill()
            server = await Process.start(*demo, env=env, folder=tmp_path)
            await server.until_answering(ready)
        ids = await loading

        for request_id in ids:
            while (await client.execute_surely(STATUS, id=request_id))["coverageRequest"]["status"] not in TERMINAL:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        async with httpx.AsyncClient() as http:
            stats = (await http.get(f"http://127.0.0.1:{sim_port}/sim/stats")).json()
        seen = {request_id: await task for request_id, task in followers.items()}
        await client.close()
        await server.kill()

    assert len(set(ids)) == REQUESTS
    assert stats["max_in_flight"] <= 15, stats
    assert stats["refused"] == 0, stats
    log = await SqliteLog.open_for_reading(data / "covey.db", clock=SystemClock())
    events = await log.read(Topic.RTE, after=0, limit=1_000_000)
    await log.close()
    endings = Counter(recorded.event.subject for recorded in events if recorded.event.terminal)
    assert endings == Counter(ids)
    for request_id, items in seen.items():
        sequences = [recorded.event.sequence for recorded in events if recorded.event.subject == request_id]
        assert [item["sequence"] for item in items] == sequences == list(range(1, len(sequences) + 1))
