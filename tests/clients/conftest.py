"""Official clients against the real program: `covey demo` in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
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


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One for all clients that ask for fresh answers: they do not meet in it."""
    with running_demo(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture
def new_demo(tmp_path: Path) -> Iterator[Demo]:
    """One that nobody has asked anything."""
    with running_demo(tmp_path) as demo:
        yield demo


@contextmanager
def running_demo(data: Path) -> Iterator[Demo]:
    """`covey demo` on a folder, on a port of its own."""
    command = (sys.executable, "-m", "cli", "demo", "--port", "0", "--data", str(data))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        late = Timer(_DEADLINE_SECONDS, process.kill)
        late.start()
        try:
            assert process.stdout is not None
            demo = _printed(process.stdout)
            late.cancel()
            yield demo
        finally:
            late.cancel()
            process.terminate()


def _printed(lines: Iterable[str]) -> Demo:
    link = token = None
    for line in lines:
        link = link or _LINK.search(line)
        token = _TOKEN.match(line.strip())
        if link and token:
            return Demo(link=link[0], token=token[0])
    pytest.fail("covey demo ended before it printed a link and a token")
