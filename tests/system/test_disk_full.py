"""The disk fills up under the running program: it refuses, says so, forgets nothing, and goes on when there is room."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

from tests.system.issuer import Issuer
from tests.system.program import STATUS, SUBMIT, TERMINAL, Client, Process, question, readiness, serving, simulator

CANCEL = """
mutation Cancel($id: ID!) {
  cancelCoverageRequest(id: $id) { __typename ... on Refused { reason message retryAfterSeconds } }
}
"""
ALL = "{ coverageRequests(first: 100) { edges { node { id } } } }"
SETTINGS = {"drain_seconds": "0", "lease_seconds": "3", "call_timeout_seconds": "2.5"}


def fill_disk(process: Process) -> None:
    """From now on no write of the process gets any room, as on a full disk."""
    _, hard = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (1, hard))


def make_room(process: Process) -> None:
    """There is room again."""
    _, hard = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


def asked(name: str, payer: str = "SIMOK") -> dict[str, Any]:
    return question("m-1", payer, last_name=name)


async def refused(client: Client, key: str) -> None:
    data = await client.execute(SUBMIT, input={"question": asked(key), "idempotencyKey": key})
    result = data["submitCoverageRequest"]
    assert (result["__typename"], result["reason"]) == ("Refused", "LOG_UNAVAILABLE"), result
    assert result["retryAfterSeconds"] > 0 and "covey.db" not in result["message"]


async def test_a_full_disk_refuses_loses_nothing_and_serving_goes_on_with_room(tmp_path: Path) -> None:
    issuer = Issuer()
    async with simulator() as payer_url:
        async with serving(tmp_path, payer_url=payer_url, **SETTINGS, jwt_public_key=issuer.public_key) as server:
            client = Client(server.port, issuer.token("m-1"))
            calling = await client.submitted(asked("Slow", "SIMSLOW"))
            following = asyncio.create_task(client.follow(calling))
            ended = await client.submitted(asked("Quick"))
            await client.follow(ended)

            fill_disk(server.process)
            await refused(client, "Later")
            cancelling = await client.execute(CANCEL, id=calling)
            assert cancelling["cancelCoverageRequest"]["reason"] == "LOG_UNAVAILABLE"
            reasons = (await readiness(server.url, 503))["reasons"]
            assert str(server.data / "covey.db") in reasons["log"], reasons
            answered = (await client.execute(STATUS, id=ended))["coverageRequest"]
            assert answered["status"] in TERMINAL  # what is known is told all the same
            await asyncio.sleep(2)  # the slow call ends meanwhile, and its end finds no room

            make_room(server.process)
            assert (await readiness(server.url, 200))["ready"]
            items = await following
            assert [item["sequence"] for item in items] == list(range(1, len(items) + 1))
            assert items[-1]["type"] == "COMPLETED"
            acknowledged = [calling, ended, await client.submitted(asked("Later"), idempotencyKey="Later")]
            acknowledged += [
                await client.submitted(asked(f"Again{payer.lower()}", payer)) for payer in ("SIMSLOW", "SIMOK")
            ]

            fill_disk(server.process)
            await refused(client, "Never")
            await client.close()
            await server.process.kill()

        async with serving(tmp_path, payer_url=payer_url, **SETTINGS, jwt_public_key=issuer.public_key) as server:
            client = Client(server.port, issuer.token("m-1"))
            for request_id in acknowledged:
                items = await client.follow(request_id)
                assert [item["sequence"] for item in items] == list(range(1, len(items) + 1))
                assert [item["type"] in TERMINAL for item in items] == [False] * (len(items) - 1) + [True]
            edges = (await client.execute(ALL))["coverageRequests"]["edges"]
            assert sorted(edge["node"]["id"] for edge in edges) == sorted(acknowledged)
            await client.submitted(asked("Never"), idempotencyKey="Never")
            await client.close()
