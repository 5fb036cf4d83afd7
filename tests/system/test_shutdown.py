"""A stop is orderly: clients are sent away one after another, calls under way end, and nothing is missed afterwards."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx

from bus.clock import SystemClock
from bus.events import Topic
from bus.sqlite.log import SqliteLog
from tests.system.issuer import Issuer
from tests.system.program import (
    Client,
    close_code,
    greeted,
    question,
    readiness,
    received,
    serving,
    simulator,
    subscribe,
)

EVENTS = "subscription { memberEvents { __typename } }"
SHORT = {"lease_seconds": "4", "call_timeout_seconds": "3"}


def asked(payer: str) -> dict[str, Any]:
    return question("m-1", payer, last_name=f"Stop{payer.lower()}")


async def test_a_stop_sends_clients_away_spread_out_ends_calls_and_misses_nothing(tmp_path: Path) -> None:
    issuer = Issuer()
    settings = {"jwt_public_key": issuer.public_key, "drain_seconds": "3", **SHORT}
    bearer = issuer.token("m-1")
    async with simulator() as payer_url:
        async with serving(tmp_path, payer_url=payer_url, **settings) as server, AsyncExitStack() as sockets:
            client = Client(server.port, bearer)
            ends_meanwhile, ends_later = [await client.submitted(asked(payer)) for payer in ("SIMSLOW", "SIMHANG")]
            followers = [asyncio.create_task(client.follow(each)) for each in (ends_meanwhile, ends_later)]
            idle = [await sockets.enter_async_context(greeted(server.port, bearer)) for _ in range(8)]
            for socket_ in idle:
                await subscribe(socket_, EVENTS)
                assert (await received(socket_))["type"] == "next"  # the Checkpoint: it is subscribed
            closing = [asyncio.create_task(close_code(socket_)) for socket_ in idle]

            server.process.process.send_signal(signal.SIGTERM)
            assert list((await readiness(server.url, 503))["reasons"]) == ["drain"]
            await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
            assert not all(task.done() for task in closing)  # one after another
            async with httpx.AsyncClient(headers={"Authorization": f"Bearer {bearer}"}) as http:
                response = await http.post(f"{server.url}/graphql", json={"query": "{ me { id } }"})
                assert response.status_code == 503
                assert response.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
                assert (await http.get(f"{server.url}/healthz")).status_code == 200
            async with greeted(server.port, bearer) as late:  # acknowledged, so that clients come back
                assert await close_code(late) == 1012
            assert await asyncio.gather(*closing) == [1012] * 8
            assert await server.process.process.wait() == 0

        log = await SqliteLog.open_for_reading(server.data / "covey.db", clock=SystemClock())
        events = [recorded.event for recorded in await log.read(Topic.RTE, after=0, limit=1_000)]
        await log.close()
        assert [event.subject for event in events if event.terminal] == [ends_meanwhile]
        assert "Traceback" not in server.written()

        async with httpx.AsyncClient() as http:
            await http.post(f"{payer_url}/sim/payers/SIMHANG", json={"behaviour": "SIMOK"})
        async with serving(tmp_path, server.port, payer_url=payer_url, **settings):
            for items in await asyncio.gather(*followers):
                assert [item["sequence"] for item in items] == list(range(1, len(items) + 1))
                assert len({item["id"] for item in items}) == len(items)
                assert items[-1]["type"] == "COMPLETED"
            await client.close()


async def test_a_second_signal_ends_the_program_at_once(tmp_path: Path) -> None:
    issuer = Issuer()
    settings = {"jwt_public_key": issuer.public_key, "drain_seconds": "3600"}
    async with simulator(speed=1) as payer_url, serving(tmp_path, payer_url=payer_url, **settings) as server:
        client = Client(server.port, issuer.token("m-1"))
        await client.submitted(asked("SIMSLOW"))
        async with greeted(server.port, issuer.token("m-1")) as socket_:
            await subscribe(socket_, EVENTS)
            server.process.process.send_signal(signal.SIGTERM)
            await readiness(server.url, 503)
            async with asyncio.timeout(20):
                assert await server.process.stop() == 0
                assert await close_code(socket_) == 1012
        await client.close()
        assert "Traceback" not in server.written()
