"""The example of docs/consumers.md, run as its reader would: the command, on a real Kafka."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from bus.consumer import GroupTopics
from tests.bus.conftest import completed, enqueued, failed, scheduled, started, submitted
from tests.bus.consumer.kafka_topics import Topics

ROOT = Path(__file__).parents[3]
HOW_TO = ROOT / "docs" / "consumers.md"
ALL = 20_000


@pytest.mark.services
async def test_the_example_consumes_ends_when_it_is_told_and_goes_on_where_it_was(
    topics: Topics, tmp_path: Path
) -> None:
    first, second = (started(scheduled(enqueued(submitted(name)))) for name in ("r1", "r2"))
    await topics.publish(first, completed(first), second, failed(second))
    outbox = tmp_path / "outbox"
    await run_until(topics, outbox, letters=2)
    told = sorted(path.read_text() for path in outbox.iterdir())
    assert told == ["r1: your coverage was checked", "r2: PAYER_UNAVAILABLE"]
    assert await topics.committed("coverage-mail") == 4

    for path in outbox.iterdir():
        path.unlink()
    third = started(scheduled(enqueued(submitted("r3"))))
    await topics.publish(completed(third))
    await run_until(topics, outbox, letters=1)
    assert [path.read_text() for path in outbox.iterdir()] == ["r3: your coverage was checked"]


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.unmeasured  # twenty thousand events
async def test_killed_in_the_middle_it_loses_nothing_and_writes_nothing_twice(topics: Topics, tmp_path: Path) -> None:
    checks = [started(scheduled(enqueued(submitted(f"r{number}", member=f"m{number}")))) for number in range(ALL)]
    for first in range(0, ALL, 5000):
        await topics.publish(*(completed(check) for check in checks[first : first + 5000]))
    outbox = tmp_path / "outbox"
    # Twice only: each time it takes Kafka ten seconds to notice.
    for letters in (1000, ALL // 2):
        await run_until(topics, outbox, letters=letters, end=signal.SIGKILL)
        assert letters <= len(list(outbox.iterdir())) < ALL
    await run_until(topics, outbox, letters=ALL)
    assert len(list(outbox.iterdir())) == ALL
    assert await topics.committed("coverage-mail") == ALL


async def run_until(topics: Topics, outbox: Path, *, letters: int, end: signal.Signals = signal.SIGTERM) -> None:
    """Run the example until so many letters are there, then end it; on SIGTERM it ends well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "docs/examples/consumer.py",
        "--create-topics",
        f"--kafka={','.join(topics.link.servers)}",
        f"--prefix={topics.prefix}",
        f"--outbox={outbox}",
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        async with asyncio.timeout(60):
            while process.returncode is None and len(list(outbox.glob("*"))) < letters:  # noqa: ASYNC110 - its, not ours
                await asyncio.sleep(0.05)
        process.send_signal(end)
        assert await asyncio.wait_for(process.wait(), 30) == (0 if end is signal.SIGTERM else -end)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_what_the_how_to_shows_is_in_the_example() -> None:
    example = (ROOT / "docs" / "examples" / "consumer.py").read_text()
    blocks = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        for line in filter(str.strip, block.splitlines()):
            assert line.strip() in example


def test_the_how_to_names_the_topics_as_they_are() -> None:
    own = GroupTopics("rte.events", "coverage-mail")
    assert all(f"`{name}`" in HOW_TO.read_text() for name in own.all((5, 60, 600)))
