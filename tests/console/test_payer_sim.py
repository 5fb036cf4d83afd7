"""`covey payer-sim` as a process of its own."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from console.errors import PortInUse
from console.simulator import simulate

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_and_ends_by_a_signal_with_0(sign: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "payer-sim", "--port", "0", cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        ready = (await process.stderr.readline()).decode()
        match = re.search(r"http://\S+", ready)
        assert match is not None, ready
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"{match[0]}/sim/stats")).json()["calls"] == 0
        process.send_signal(sign)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortInUse):
        await simulate(port=taken.getsockname()[1], seed=1, slots=1, speed=1.0, on_ready=print)
