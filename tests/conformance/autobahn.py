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
from pathlib import Path
from typing import Final

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from bus.metrics import Metrics
from delivery.readers import answer_guard
from delivery.senders import SenderLimits
from delivery.server import server_config
from delivery.stall import StallLimits, stall_guard

_LARGEST_CASE_BYTES: Final = 16 * 1024 * 1024
_BEHAVIOURS: Final = ("behavior", "behaviorClose")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application that sends every message back."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        content = {key: message[key] for key in ("text", "bytes") if message.get(key) is not None}
        await send({"type": "websocket.send", **content})


def _config() -> uvicorn.Config:
    metrics, stall = Metrics(), StallLimits()
    return server_config(
        echo,
        host="127.0.0.1",
        port=0,
        http_protocol=answer_guard(SenderLimits(), stall, metrics),
        socket_protocol=stall_guard(stall, metrics),
        message_limit_bytes=_LARGEST_CASE_BYTES + 1,
    )


def _spec(port: int, folder: Path) -> dict[str, object]:
    return {
        "outdir": str(folder),
        "servers": [{"agent": "covey", "url": f"ws://127.0.0.1:{port}/"}],
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
