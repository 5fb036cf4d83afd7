"""`covey payer-sim`: the payer simulator by itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from bus.clock import SystemClock
from console.ports import require_free
from payer.simulator.app import simulator_app
from payer.simulator.running import running_simulator


async def simulate(*, port: int, seed: int, slots: int, speed: float, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; `on_ready` hears the URL. Raises PortInUse."""
    require_free("127.0.0.1", port)
    stopped = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stopped.set)
    async with running_simulator(simulator_app(seed, slots, speed, SystemClock()), port) as url:
        on_ready(url)
        await stopped.wait()
