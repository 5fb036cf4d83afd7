"""From the payer's answer to the client's frame over Kafka and Redis: one gateway, one worker, 50 answers a second.

    scripts/services start
    python -m bench.shared_frames [--seconds 30]

As `bench.frames`, which it is made of; but the answer goes from the worker into Kafka, and from there to the gateway that
has the socket. Exit 1 if the bar is missed, 2 if an answer never came.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.frames import PACE, Measured, measure, stand_in, told
from bench.servers import cpu_seconds, serve, service_token, shared, until_ready, worker




async def _measure(seconds: int, oddities: Counter[str]) -> Measured:
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
            before = [cpu_seconds(one.pid) for one in (gateway, calling)]
            measured = await measure(gateway.port, token, payer, seconds, oddities)
