"""Two hundred checks at once, from twenty tenants in three priorities: the payer's side never has to say 429."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from delivery.caller import Role
from tests.system.program import SUBMIT, Client, free_port, question, running, token


async def test_two_hundred_checks_at_once_never_bring_a_429(tmp_path: Path) -> None:
    data, port, sim_port = tmp_path / "data", free_port(), free_port()
    env = {"COVEY_DATA": str(data), "COVEY_PAYER_URL": f"http://127.0.0.1:{sim_port}", "COVEY_LOG_LEVEL": "warning"}
    simulator = ("payer-sim", "--port", str(sim_port), "--speed", "50", "--seed", "7")
    demo = ("demo", "--port", str(port), "--data", str(data))
    async with (
        running(*simulator, env=env, folder=tmp_path, answers_at=f"http://127.0.0.1:{sim_port}/sim/stats"),
        running(*demo, env=env, folder=tmp_path, answers_at=f"http://127.0.0.1:{port}/readyz"),
        httpx.AsyncClient() as http,
    ):
        clients = [Client(port, token(data, "-", tenant=f"t-{number}", role=Role.SERVICE)) for number in range(20)]
        payers = ("60054", "62308", "87726", "61101", "SIMOK", "SIMOK")

        async def check(number: int) -> str:
            client = clients[number % 20]
            answer = await client.execute(
                SUBMIT,
                input={
                    "question": question(f"m-{number}", payers[number % 6], last_name="Burst"),
                    "priority": ("INTERACTIVE", "ENROLLMENT", "BACKGROUND")[number % 3],
                    "deadlineSeconds": 600,
                },
            )
            items = await client.follow(answer["submitCoverageRequest"]["request"]["id"])
            return str(items[-1]["type"])

        ended = await asyncio.gather(*(check(number) for number in range(200)))
        stats = (await http.get(f"http://127.0.0.1:{sim_port}/sim/stats")).json()
        for client in clients:
            await client.close()
    assert set(ended) <= {"COMPLETED", "FAILED"}
    assert ended.count("COMPLETED") > 0
    assert stats["refused"] == 0
    assert stats["max_in_flight"] <= 15
    assert stats["calls"] >= 200
