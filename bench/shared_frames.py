"""From the payer's answer to the client's frame over Kafka and Redis: one gateway, one worker, 50 answers a second.

    scripts/services start
    python -m bench.shared_frames [--seconds 30]

As `bench.frames`, of whose parts it is made; but the answer goes from the worker into Kafka, and from there to the
gateway that has the socket. Exit 1 if the bar is missed, 2 if an answer never came.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop

from bench.frames import ACCEPTED, PACE, PAYERS, Measured, StandIn, measure, stand_in, submit_body, told
from bench.load import Connection
from bench.servers import cpu_seconds, serve, service_token, shared, until_ready, worker

_JOINED_SECONDS: Final = 12.0
"""A new worker is granted nothing for ten seconds; and whoever asks before an empty Redis is known to be whole waits
until the longest call that might be under way has ended."""
_FIRST_SECONDS: Final = 150.0


async def _until_calls_are_made(port: int, token: str, payer: StandIn) -> None:
    await asyncio.sleep(_JOINED_SECONDS)
    connection = await Connection.open(port, token)
    async with asyncio.timeout(_FIRST_SECONDS):
        while not payer.answered:
            accepted = await connection.post(submit_body("m-first", "FIRST", PAYERS[0]))
            if ACCEPTED not in accepted:
                raise RuntimeError(accepted[:300].decode())
            await asyncio.sleep(2.0)
    connection.close()


async def _measure(seconds: int) -> Measured:
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            stand_in() as (payer, url),
            shared(folder, payer_url=url) as env,
            serve(folder, env=env) as gateway,
            worker(folder, env=env) as calling,
        ):
            await until_ready(gateway.port)
            await until_ready(calling.port)
            token = service_token(folder)
            await _until_calls_are_made(gateway.port, token, payer)
            before = [cpu_seconds(one.pid) for one in (gateway, calling)]
            measured = await measure(gateway.port, token, payer, seconds)
            each = [
                1_000 * (cpu_seconds(one.pid) - earlier) / (PACE * seconds)
                for one, earlier in zip((gateway, calling), before, strict=True)
            ]
            print(f"computed for each request: gateway {each[0]:.2f} ms, worker {each[1]:.2f} ms")
            return measured


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30)
    seconds: int = parser.parse_args().seconds
    return told(uvloop.run(_measure(seconds)), seconds, " through Kafka and Redis")


if __name__ == "__main__":
    sys.exit(main())
