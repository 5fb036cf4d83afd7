"""The clients of docs/examples, as a reader would run them, while the server is stopped and started under them."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.clients.conftest import ROOT, WEB, needs
from tests.system.program import free_port, serving, simulator, token

EXAMPLES: Final = ROOT / "docs" / "examples"
SPEED: Final = 20.0
"""A slow payer answers after 3 to 5 s, so that a restart falls between a request and its answer."""
_DEADLINE_SECONDS: Final = 120.0
"""Generous, so that only what hangs meets it."""

Command = tuple[str, ...]


@pytest.fixture(params=["python", pytest.param("node", marks=pytest.mark.node)])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Command:
    """The command of one example; the Node one stands beside its packages, as after `npm install`."""
    if request.param == "python":
        return (sys.executable, str(EXAMPLES / "follow.py"))
    node = shutil.which("node")
    needs(node, "needs Node.js")
    needs((WEB / "node_modules").is_dir(), "needs the packages of web/: run scripts/web")
    (tmp_path / "node_modules").symlink_to(WEB / "node_modules")
    return (str(node), str(shutil.copy(EXAMPLES / "follow.mjs", tmp_path / "follow.mjs")))


async def test_it_tells_its_usage_where_it_is_given_nothing(example: Command) -> None:
    process = await asyncio.create_subprocess_exec(*example, stderr=asyncio.subprocess.PIPE)
    _, told = await process.communicate()
    assert process.returncode == 1
    assert told.startswith(b"Usage: ") and b"URL TOKEN" in told and len(told.splitlines()) == 1


async def test_it_resumes_behind_a_restart_of_the_server_with_each_event_once(example: Command, tmp_path: Path) -> None:
    port = free_port()
    async with (
        asyncio.timeout(_DEADLINE_SECONDS),
        simulator(SPEED) as payer_url,
        serving(tmp_path, port, payer_url=payer_url, drain_seconds="0") as server,
    ):
        arguments = (f"{server.url}/graphql", token(server.data, "m-1", "demo"), "SIMSLOW")
        async with _run(*example, *arguments) as client:
            assert client.stdout is not None
            events = [json.loads(await client.stdout.readline()) for _ in range(4)]
            assert events[-1]["type"] == "STARTED"
            assert await server.process.stop() == 0  # SIGTERM
            async with serving(tmp_path, port, payer_url=payer_url):
                rest, _ = await client.communicate()
    events += [json.loads(line) for line in rest.splitlines()]
    assert client.returncode == 0
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["id"] for event in events}) == len(events)
    assert events[-1]["type"] == "COMPLETED" and events[-1]["coverage"]["status"] == "ACTIVE"


async def test_what_is_not_accepted_is_told(example: Command, tmp_path: Path) -> None:
    async with simulator() as payer_url, serving(tmp_path, payer_url=payer_url, drain_seconds="0") as server:
        arguments = (f"{server.url}/graphql", token(server.data, "m-1", "demo"), "no such payer")
        async with asyncio.timeout(_DEADLINE_SECONDS), _run(*example, *arguments, stderr=True) as client:
            out, err = await client.communicate()
    assert client.returncode == 1 and out == b"" and b"PAYER_UNKNOWN" in err


@asynccontextmanager
async def _run(*command: str, stderr: bool = False) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe: Any = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe if stderr else None)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
