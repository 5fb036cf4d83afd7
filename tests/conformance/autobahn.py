"""Autobahn's WebSocket suite against what Covey's sockets stand on: its server's protocol classes, with an echo on top.

The suite wants every message back, which graphql-transport-ws never gives; so the conversation is left out here, and
tests/conformance/test_websocket.py holds the same sections against the whole program.

The suite runs on Python 2.7 only: `python2 -m pip install --target FOLDER autobahntestsuite==0.8.2`, and then

    PYTHONPATH= python -m tests.conformance.autobahn python2 -c "import sys; sys.path.insert(0, 'FOLDER');
        from autobahntestsuite.wstest import run; run()"
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvicorn
import uvloop

from bus.metrics import Metrics
from delivery.handshake import Handshake
from delivery.readers import answer_guard
from delivery.senders import SenderLimits
from delivery.server import server_config
from delivery.site import site
from delivery.sockets import Sockets
from delivery.stall import StallLimits
from delivery.websocket import SocketGone, WebSocket, socket_terms

_LARGEST_CASE_BYTES: Final = 16 * 1024 * 1024
_BEHAVIOURS: Final = ("behavior", "behaviorClose")


class Echo:
    """Sends every message back, in order."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._heard: list[str | bytes] = []
        self._sending: asyncio.Task[None] | None = None

    def hear(self, message: str | bytes) -> None:
        self._heard.append(message)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    def leave(self) -> None:
        self._socket.done()

    async def _send(self) -> None:
        with suppress(SocketGone):
            while self._heard:
                message = self._heard.pop(0)
                await (self._socket.send_binary(message) if isinstance(message, bytes) else self._text(message))
        self._sending = None

    async def _text(self, message: str) -> None:
        await self._socket.send(message.encode())


class EchoDoor:
    """Lets everybody in."""

    def come(self, socket: WebSocket, handshake: Handshake, address: str | None) -> None:
        socket.open(handshake.accepted(None), Echo(socket))


def _config() -> uvicorn.Config:
    metrics, stall = Metrics(), StallLimits()
    sockets = Sockets(EchoDoor(), socket_terms(metrics, stall=stall, message_limit_bytes=_LARGEST_CASE_BYTES + 1))
    guard = answer_guard(SenderLimits(), stall, metrics, sockets)
    return server_config(site([], allowed_origins=[]), host="127.0.0.1", port=0, http_protocol=guard)


def _spec(port: int, folder: Path) -> dict[str, object]:
    return {
        "outdir": str(folder),
        "servers": [{"agent": "covey", "url": f"ws://127.0.0.1:{port}/graphql"}],
        "cases": ["*"],
        "exclude-cases": ["12.*", "13.*"],  # compression, which is off
        "exclude-agent-cases": {},
    }


async def run(wstest: Sequence[str]) -> int:
    """Run the suite and print how its cases ended; 1 if any of them failed."""
    config = _config()
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "spec.json").write_text(json.dumps(_spec(port, folder)))
        command = [*wstest, "-m", "fuzzingclient", "-s", str(folder / "spec.json")]
        process = await asyncio.create_subprocess_exec(*command, stdout=sys.stderr)
        await process.wait()
        cases = json.loads((folder / "index.json").read_text())["covey"]
    ends = {case: {ended[kind] for kind in _BEHAVIOURS} for case, ended in cases.items()}
    lines = list[str]()
    for case, ended in ends.items():
        if "FAILED" in ended or "NON-STRICT" in ended:
            lines.append(f"{case} {' '.join(sorted(ended))}")
    lines += [f"{kind}: {dict(Counter(ended[kind] for ended in cases.values()))}" for kind in _BEHAVIOURS]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(not ends or any("FAILED" in ended for ended in ends.values()))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(run(sys.argv[1:])))
