"""Official clients against the real program: `covey demo` in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

ROOT: Final = Path(__file__).parents[2]
WEB: Final = ROOT / "web"
_PACKAGES: Final = Path(__file__).with_name("node_modules")
_LINK: Final = re.compile(r"http://127\.0\.0\.1:\d+/graphql\b")
_TOKEN: Final = re.compile(r"^eyJ[\w-]+\.[\w-]+\.[\w-]+$")
_DEADLINE_SECONDS: Final = 120.0
"""For a start, and for a script: generous, so that only what hangs meets it."""

RunScript = Callable[..., Awaitable[Any]]


class Demo(Struct, frozen=True, kw_only=True):
    """What `covey demo` prints."""

    link: str
    token: str


def needs(present: object, reason: str) -> None:
    """Skip where a tool is absent; in CI, which installs them all, fail instead."""
    if not present:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.fixture
def run_script() -> RunScript:
    """Runs a Node script of this folder and gives what it printed as JSON."""
    node = shutil.which("node")
    needs(node, "needs Node.js")
    needs((WEB / "node_modules").is_dir(), "needs the packages of web/: run scripts/web")
    needs(_PACKAGES.is_dir(), "needs the packages of tests/clients: run scripts/clients")

    async def run(name: str, *arguments: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            str(node), str(Path(__file__).with_name(name)), *arguments, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                out, _ = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        assert process.returncode == 0
        return json.loads(out)

    return run


@pytest.fixture
def chromium() -> str:
    """The browser's path."""
    path = shutil.which("chromium")
    needs(path, "needs Chromium")
    needs((WEB / "dist").is_dir(), "needs the built GraphiQL: run scripts/web")
    return str(path)


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        "demo",
        "--port",
        "0",
        "--data",
        str(tmp_path),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            yield await _printed(process.stdout)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def _printed(lines: asyncio.StreamReader) -> Demo:
    link = token = None
    async for raw in lines:
        line = raw.decode()
        link = link or _LINK.search(line)
        token = _TOKEN.match(line.strip())
        if link and token:
            return Demo(link=link[0], token=token[0])
    pytest.fail("covey demo ended before it printed a link and a token")
