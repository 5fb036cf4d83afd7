"""From the command that starts a server to the first event at a client."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.compiled import compile_checkout
from bench.gateway.clients import Client, follow
from bench.gateway.covey import covey_producer, covey_waiting, token
from bench.gateway.pinned import One, pinned
from bench.gateway.plan import Plan
from bench.gateway.systems import interleaved, served
from bench.gateway.tally import Tally
from bench.report import Figure
from bench.servers import free_port

_BAR_OF_STOCK: Final = 1.0
_ASK_AGAIN_SECONDS: Final = 0.02
_LONGEST_SECONDS: Final = 60.0


async def measure_first_event(plan: Plan) -> Sequence[Figure]:
    """Topics, and the key that tokens are signed with, are there before. Rivals get their event as a line."""

    compile_checkout()

    async def one(system: str) -> float:
        return round(await (_covey(plan) if system == "covey" else _rival(plan, system)), 3)

    name = "command to first event"
    found = await interleaved(f"{name}, s", plan.systems, plan.rounds, one)
    return plan.ratio(name, found, "stock", _BAR_OF_STOCK)


async def _covey(plan: Plan) -> float:
    prefix = f"bench-{secrets.token_hex(4)}."
    with TemporaryDirectory() as folder:
        data, port = Path(folder), free_port()
        bearer = token(data)
        arguments = ("cli", "serve", "--port", str(port), "--workers-in-process", "0")
        async with covey_waiting(plan.services, prefix) as (link, env), covey_producer(link, prefix) as (_, publish):
            began = time.perf_counter()
            async with pinned(sys.executable, "-m", *arguments, env={**env, "COVEY_DATA": str(data)}):
                await _first_event(port, bearer, publish)
                return time.perf_counter() - began


async def _rival(plan: Plan, system: str) -> float:
    began = time.perf_counter()
    async with served(system, plan.services) as server:
        await _first_event(server.port, server.token, server.one)
        return time.perf_counter() - began


async def _first_event(port: int, bearer: str | None, publish: One) -> None:
    tally = Tally()
    async with asyncio.timeout(_LONGEST_SECONDS):
        client = await _following(port, bearer, tally)
        tally.expect(1)
        await publish(0, 0)()
        await tally.done.wait()
    tally.check()
    client.close()


async def _following(port: int, bearer: str | None, tally: Tally) -> Client:
    while True:
        with suppress(OSError, ExceptionGroup):
            (client,) = await follow(port, [0], bearer, tally)
            return client
        await asyncio.sleep(_ASK_AGAIN_SECONDS)
