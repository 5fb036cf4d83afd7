"""`covey serve` in a process of its own that tells, on SIGUSR1, what it holds: for counting what clients leave behind.

python -m tests.conformance.counted PORT COUNTS
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import uvloop
from prometheus_client.parser import text_string_to_metric_families

import app
import logs
from bus.clock import SystemClock
from bus.ids import MemberId, TenantId
from delivery.caller import Role
from delivery.development_key import DevelopmentKey, sign_development_token
from settings import load
from tests.system.program import Process, free_port

_OURS: Final = ("bus.", "delivery.", "schema.", "resolvers.", "scheduler.", "warming.", "strawberry.subscriptions.")
_THEIRS: Final = ("uvicorn.protocols.", "websockets.", "broadcaster.", "starlette.")
_CACHED: Final = {
    *("delivery.rates._Bucket", "delivery.tokens._Verified", "delivery.caller.Caller"),
    *("schema.documents.Document", "schema.documents.Operation", "schema.limits.Cost"),
    *("schema.event_answers.Selections", "schema.answer_templates.Selection"),
}
"""Kept for a while on purpose, and bounded: by their number, and where it says so by time."""
_WAITING: Final = (asyncio.Queue, asyncio.Event, asyncio.Lock, asyncio.Future, asyncio.Task, asyncio.TimerHandle)


def _objects() -> Counter[str]:
    """Living objects of the program's classes, the socket libraries', and asyncio's that somebody waits on."""
    gc.collect()
    kept = Counter[str]()
    for each in gc.get_objects():
        kind = type(each)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _CACHED:
            continue
        if isinstance(each, _WAITING) or name.startswith((*_OURS, *_THEIRS)) or kind.__name__ == "async_generator":
            kept[name] += 1
    return kept


def _count(into: Path) -> None:
    gc.unfreeze()
    objects = _objects()
    tasks = Counter(task.get_name().rstrip("0123456789") for task in asyncio.all_tasks())
    part = into.with_suffix(".part")
    part.write_text(json.dumps({"tasks": tasks, "objects": objects, "memory": {"blocks": sys.getallocatedblocks()}}))
    part.rename(into)


async def _serve(port: int, counts: Path) -> int:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _count, counts)
    return await app.serve(load(), host="127.0.0.1", port=port)


class Counted:
    """A server that can be counted."""

    def __init__(self, process: Process, port: int, data: Path, counts: Path) -> None:
        self.port = port
        self.process = process
        self._data = data
        self._counts = counts

    @classmethod
    async def start(cls, folder: Path, **settings: str) -> Counted:
        """Start it on a data folder in `folder`; `settings` by their names without COVEY_."""
        port, counts = free_port(), folder / "counts.json"
        env = {
            "COVEY_DATA": str(folder / "data"),
            "COVEY_PAYER_URL": "http://127.0.0.1:9",
            "COVEY_LOG_LEVEL": "warning",
        }
        env |= {f"COVEY_{name.upper()}": value for name, value in settings.items()}
        stderr = folder / "stderr"
        with stderr.open("wb") as sink:
            running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", __spec__.name if __spec__ else __name__, str(port), str(counts)),
                env={**os.environ, **env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        process = Process(running, stderr)
        await process.until_answering(f"http://127.0.0.1:{port}/readyz")
        return cls(process, port, folder / "data", counts)

    def token(self, member: str | None = None) -> str:
        """A service's token, or a member's."""
        return sign_development_token(
            DevelopmentKey.in_folder(self._data),
            tenant_id=TenantId("conformance"),
            roles=[Role.MEMBER if member else Role.SERVICE],
            member_id=MemberId(member) if member else None,
            ttl_seconds=7200,
            now=SystemClock().now(),
            token_id=f"t-{member}",
        )

    async def held(self) -> dict[str, Counter[str]]:
        """What it holds now, after a full collection.

        Tasks by name, objects by class, files by kind, gauges by name and labels, memory in Python's blocks.
        """
        self._counts.unlink(missing_ok=True)
        self.process.process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(60):
            while not self._counts.exists():  # noqa: ASYNC110 (another process writes it)
                await asyncio.sleep(0.05)
        counted = json.loads(self._counts.read_text())
        held = {name: Counter[str](counts) for name, counts in counted.items()}
        return held | {"files": self._files(), "gauges": await self._gauges()}

    def _files(self) -> Counter[str]:
        kinds = Counter[str]()
        for link in Path(f"/proc/{self.process.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                kinds[str(link.readlink()).partition(":")[0]] += 1
        return kinds

    async def _gauges(self) -> Counter[str]:
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"http://127.0.0.1:{self.port}/metrics")).text
        samples = [
            sample
            for family in text_string_to_metric_families(text)
            if family.type == "gauge" and family.name.startswith("covey_") and not family.name.endswith("_created")
            for sample in family.samples
        ]
        return Counter({f"{sample.name} {sorted(sample.labels.values())}": int(sample.value) for sample in samples})

    def resident_bytes(self) -> int:
        """Its memory."""
        (line,) = [
            line
            for line in Path(f"/proc/{self.process.process.pid}/status").read_text().splitlines()
            if line.startswith("VmRSS:")
        ]
        return int(line.split()[1]) * 1024


def blocks_grown(before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]) -> float:
    """Of Python's memory in use, in percent: unlike resident memory it counts no garbage and no holes."""
    return (after["memory"]["blocks"] / before["memory"]["blocks"] - 1) * 100


def left_behind(before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]) -> dict[str, Any]:
    """What there is more of, memory left out; empty if nothing is."""
    more = {kind: dict(after[kind] - before[kind]) for kind in after if kind != "memory"}
    return {kind: counts for kind, counts in more.items() if counts}


if __name__ == "__main__":
    logs.configure(level="warning", json_lines=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_serve(int(sys.argv[1]), Path(sys.argv[2]))))
