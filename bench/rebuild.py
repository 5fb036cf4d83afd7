"""Views rebuilt from a log of a million events, and a start that need not read them.

    python -m bench.rebuild

The log holds 200,000 requests of five events each, all ended. Then the index of requests and the coverage cache are
thrown away, and a fresh process opens the log and fills both again; another one starts with everything in place.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.report import Figure, report
from bus.clock import SystemClock
from bus.coverage import Benefit, BenefitKind, Coverage, CoverageStatus
from bus.events import (
    CacheMode,
    Completed,
    Enqueued,
    Event,
    EventData,
    Priority,
    Scheduled,
    Started,
    Submitted,
    Topic,
)
from bus.ids import CallId, EventId, MemberId, PayerId, RequestId, TenantId, random_id
from bus.metrics import Metrics
from bus.question import Person, Provider, Question
from bus.reader import Reader
from bus.sqlite.log import SqliteLog
from warming.sqlite_cache import SqliteCache
from warming.view import CoverageView

REQUESTS: Final = 200_000
_PAYER: Final = PayerId("60054")
_TENANT: Final = TenantId("t-1")


async def _open(folder: Path, metrics: Metrics) -> SqliteLog:
    return await SqliteLog.open(folder / "covey.db", clock=SystemClock(), new_epoch=random_id, metrics=metrics)


async def _fill(folder: Path) -> None:
    log = await _open(folder, Metrics())
    batch: list[Event] = []
    for number in range(REQUESTS):
        batch.extend(_request(number))
        if len(batch) >= 5_000:
            await log.append(batch)
            batch.clear()
            if number % 20_000 == 0:
                print(f"{5 * number:,} events written", file=sys.stderr)
    await log.append(batch)
    await log.close()


def _request(number: int) -> Iterator[Event]:
    now = datetime.now(UTC)
    member = MemberId(f"m-{number % 20_000}")
    request_id, call_id = RequestId(random_id()), CallId(random_id())
    question = Question(
        member_id=member,
        payer_id=_PAYER,
        provider=Provider(npi="1999999984", organization_name="Clinic"),
        subscriber=Person(member_id="CARD12345", first_name="Jane", last_name="Doe", date_of_birth=date(1990, 1, 1)),
        service_type_codes=("30",),
        date_of_service=date(2026, 11, 23),
    )
    coverage = Coverage(
        status=CoverageStatus.ACTIVE,
        payer_id=_PAYER,
        obtained_at=now,
        request_id=request_id,
        benefits=(Benefit(kind=BenefitKind.COPAYMENT, amount="25", service_type_codes=("98",)),) * 3,
    )
    lease = now + timedelta(seconds=125)
    steps: list[EventData] = [
        Submitted(
            payer_id=_PAYER,
            question=question,
            priority=Priority.INTERACTIVE,
            cache_mode=CacheMode.DEFAULT,
            deadline=lease,
            caller="c",
            fingerprint=request_id,
        ),
        Enqueued(payer_id=_PAYER, queue_position=1),
        Scheduled(payer_id=_PAYER, call_id=call_id, lease_expires_at=lease),
        Started(payer_id=_PAYER, call_id=call_id, lease_expires_at=lease),
        Completed(payer_id=_PAYER, call_id=call_id, question_key=question.key(_TENANT), coverage=coverage),
    ]
    for sequence, data in enumerate(steps, start=1):
        yield Event(
            id=EventId(random_id()),
            source="bench",
            subject=request_id,
            time=now,
            tenant_id=_TENANT,
            member_id=member,
            sequence=sequence,
            attempt=1,
            data=data,
        )


async def _start(folder: Path) -> dict[str, float]:
    """What a start does before it is ready: open the log, fill the cache up to its end, look for open requests."""
    began = time.perf_counter()
    metrics, clock = Metrics(), SystemClock()
    log = await _open(folder, metrics)
    cache = await SqliteCache.open(folder / "views.sqlite3", epoch=log.epoch)
    reader = Reader(log, Topic.RTE, [CoverageView(cache)], metrics, clock, start_after=await cache.position())
    async with reader:
        open_requests = [state async for state in log.open_requests()]
        while not await reader.caught_up():
            await asyncio.sleep(0.02)
        elapsed = time.perf_counter() - began
    await cache.close()
    await log.close()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": elapsed, "peak_mib": peak_mib, "open": len(open_requests)}


def _in_a_fresh_process(folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.rebuild", "--start", str(folder)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.start is not None:
        print(json.dumps(asyncio.run(_start(arguments.start))))
        return 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(_fill(folder))
        with sqlite3.connect(folder / "covey.db") as connection:
            connection.execute("DROP TABLE requests")
        rebuilt = _in_a_fresh_process(folder)
        warm = _in_a_fresh_process(folder)
    return report(
        [
            Figure("rebuild of all views from 1,000,000 events, s", rebuilt["seconds"], "<=", 60),
            Figure("peak memory of the rebuild, MiB", rebuilt["peak_mib"], "<=", 500),
            Figure("start with no open request over the same log, s", warm["seconds"], "<=", 2),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
