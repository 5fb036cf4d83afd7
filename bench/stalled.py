"""What readers that stopped reading cost: memory of the server and of its kernel, a socket.

    python -m bench.stalled [--sockets 200] [--requests 60]

Every socket follows a member of its own and then reads nothing, while the events of 60 requests of that member come.
The same is done with readers that read; the difference is what stalling costs. The server runs as it is served, but for
its write deadline and its pings, which would end the measurement. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

import app
import logs
from bench.gateway.events import DOCUMENT, member, request_events
from bench.report import Figure, report
from bench.servers import free_port, service_token, until_ready
from bus.clock import Clock
from bus.metrics import Metrics
from bus.sealing import Sealer
from settings import Settings, load
from wiring.embedded import DurableLog, open_sqlite_log

_CLIENT_BUFFER: Final = 4096
"""Of the kernel, for a reader that reads nothing: what lies there is no cost of ours."""
_SETTLE_SECONDS: Final = 3.0


async def _serve(port: int, sockets: int, requests: int) -> None:
    """Serve; at SIGUSR1 write all events, and say so."""
    held: list[DurableLog] = []

    async def remembered(settings: Settings, clock: Clock, metrics: Metrics, sealer: Sealer) -> DurableLog:
        held.append(await open_sqlite_log(settings, clock, metrics, sealer))
        return held[0]

    async def flood() -> None:
        for request in range(requests):
            for number in range(sockets):
                await held[0].append(list(request_events(number, request)))
        gc.collect()
        print("flooded", flush=True)

    flooding: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: flooding.append(loop.create_task(flood())))
    await app.serve(load(), host="127.0.0.1", port=port, open_log=remembered)


@asynccontextmanager
async def _server(data: Path, sockets: int, requests: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    port = free_port()
    env = {"COVEY_DATA": str(data), "COVEY_WRITE_DEADLINE_SECONDS": "300", "COVEY_PING_SECONDS": "300"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.stalled", "--serve", str(port)),
        *("--sockets", str(sockets), "--requests", str(requests)),
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await until_ready(port)
        yield process, port
    finally:
        process.kill()
        await process.wait()


async def _connected(port: int, token: str, number: int) -> ClientConnection:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CLIENT_BUFFER)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    connection = await connect(
        f"ws://127.0.0.1:{port}/graphql",
        sock=raw,
        subprotocols=[Subprotocol("graphql-transport-ws")],
        compression=None,
        max_queue=1,
        ping_interval=None,
    )
    await connection.send(json.dumps({"type": "connection_init", "payload": {"authToken": token}}))
    await connection.recv()
    payload = {"query": DOCUMENT, "variables": {"member": member(number)}}
    await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
    await connection.recv()  # the Checkpoint: it is subscribed
    return connection


async def _read(connection: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await connection.recv()


async def _cost(sockets: int, requests: int, *, stalled: bool) -> tuple[int, int]:
    """Bytes the server grew by in the flood, and bytes the kernel holds for its sockets at the end."""
    with TemporaryDirectory() as folder:
        async with _server(Path(folder), sockets, requests) as (process, port), AsyncExitStack() as stack:
            token = service_token(Path(folder))
            readers = []
            for number in range(sockets):
                connection = await _connected(port, token, number)
                stack.callback(connection.transport.abort)
                if stalled:
                    connection.transport.pause_reading()
                else:
                    readers.append(asyncio.create_task(_read(connection)))
            await asyncio.sleep(_SETTLE_SECONDS)
            before = _resident(process.pid)
            process.send_signal(signal.SIGUSR1)
            assert process.stdout is not None
            await process.stdout.readline()
            await asyncio.sleep(_SETTLE_SECONDS)
            grown, kernel = _resident(process.pid) - before, _unsent(port)
            async with httpx.AsyncClient(trust_env=False) as http:
                seen = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
            paused = float(re.search(r"^covey_paused_connections (\S+)$", seen, re.MULTILINE)[1])  # type: ignore[index]
            assert paused == (sockets if stalled else 0), paused
            for reader in readers:
                reader.cancel()
            return grown, kernel


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]  # the kernel's own form


def _unsent(port: int) -> int:
    """Bytes in the kernel's send queues of connections to this port."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, _, queues, *_ = line.split()
        if local.endswith(f":{port:04X}"):
            total += int(queues.partition(":")[0], 16)
    return total


async def _measure(sockets: int, requests: int) -> list[Figure]:
    reading, _ = await _cost(sockets, requests, stalled=False)
    stalled, kernel = await _cost(sockets, requests, stalled=True)
    process, unsent = (stalled - reading) / sockets / 1024, kernel / sockets / 1024
    print(f"grown in the flood: {reading / 2**20:.1f} MiB where all read, {stalled / 2**20:.1f} MiB where none does")
    print(f"a stalled socket: {process:.1f} KiB of the process, {unsent:.1f} KiB unsent in the kernel")
    return [Figure("memory of a stalled socket, process and kernel, KiB", process + unsent, "<=", 256)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.serve is None:
            return report(runner.run(_measure(given.sockets, given.requests)))
        logs.configure(level="error", json_lines=True)
        runner.run(_serve(given.serve, given.sockets, given.requests))
        return 0


if __name__ == "__main__":
    sys.exit(main())
