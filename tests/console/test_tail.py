"""Following a log while another part of the program writes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bus.clock import SystemClock
from bus.errors import LogCorrupt
from bus.events import CacheMode, Cancelled, Downtime, Event, Priority, Submitted, Topic
from bus.ids import EventId, MemberId, PayerId, RequestId, TenantId, random_id
from bus.metrics import Metrics
from bus.question import Person, Provider, Question
from bus.sealing import TenantSealer
from bus.sqlite.log import SqliteLog
from console.errors import WorkFailed
from console.tail import tail
from settings import Settings, load

NOW = datetime(2026, 3, 1, 10, 11, 12, tzinfo=UTC)
KEY = "k" * 32
PAYER = PayerId("SIMOK")


def submitted() -> Event:
    person = Person(member_id="CARD-77", first_name="Zebulon", last_name="Doe", date_of_birth=NOW.date())
    question = Question(
        member_id=MemberId("m-1"),
        payer_id=PAYER,
        provider=Provider(npi="1999999984"),
        subscriber=person,
        service_type_codes=("30",),
        date_of_service=NOW.date(),
    )
    data = Submitted(
        payer_id=PAYER,
        question=question,
        priority=Priority.INTERACTIVE,
        cache_mode=CacheMode.DEFAULT,
        deadline=NOW,
        caller="m-1",
        fingerprint="f",
    )
    return _of_request(data, 1)


def _of_request(data: Any, sequence: int) -> Event:
    return Event(
        id=EventId(random_id()),
        source="test",
        subject=RequestId("r-1"),
        time=NOW,
        data=data,
        tenant_id=TenantId("t-1"),
        member_id=MemberId("m-1"),
        sequence=sequence,
        attempt=1,
    )


def downtime() -> Event:
    data = Downtime(payer_id=PAYER, available=False, since=NOW)
    return Event(id=EventId(random_id()), source="test", subject=PAYER, time=NOW, data=data)


class Lines:
    """What was written, and waiting for the next of it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def write(self, text: str) -> None:
        self._queue.put_nowait(text)

    async def take(self, count: int) -> list[str]:
        return [await self._queue.get() for _ in range(count)]


@asynccontextmanager
async def log_of(settings: Settings) -> AsyncIterator[SqliteLog]:
    key = settings.data_key
    log = await SqliteLog.open(
        settings.log_path,
        clock=SystemClock(),
        new_epoch=random_id,
        metrics=Metrics(),
        sealer=None if key is None else TenantSealer(key.get_secret_value().encode()),
    )
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def tailing(settings: Settings, **given: Any) -> AsyncIterator[Lines]:
    lines = Lines()
    options = {"topic": None, "after": None, "with_data": False, "say": print, **given}
    task = asyncio.create_task(tail(settings, write=lines.write, **options), name="tail")
    try:
        yield lines
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_events_of_a_running_server_are_told_as_they_come(tmp_path: Path) -> None:
    settings = load(data=tmp_path)
    async with log_of(settings) as log, tailing(settings, after=0) as lines:
        await log.append([submitted()])
        (first,) = await lines.take(1)
        await log.append([_of_request(Cancelled(payer_id=PAYER), 2)])
        (second,) = await lines.take(1)
    assert first.split() == ["1", "2026-03-01T10:11:12.000+00:00", "rte.submitted", "r-1", "attempt", "1"]
    assert second.split()[2:4] == ["rte.cancelled", "r-1"]


async def test_no_health_data_is_told_unless_asked_for(tmp_path: Path) -> None:
    settings = load(data=tmp_path)
    async with log_of(settings) as log:
        await log.append([submitted()])
        async with tailing(settings, after=0) as lines:
            (plain,) = await lines.take(1)
        async with tailing(settings, after=0, with_data=True) as lines:
            (with_data,) = await lines.take(1)
    assert "Zebulon" not in plain and "m-1" not in plain
    data = json.loads(with_data.partition("{")[1] + with_data.partition("{")[2])
    assert data["question"]["subscriber"]["first_name"] == "Zebulon"


async def test_one_topic_can_be_followed_alone(tmp_path: Path) -> None:
    settings = load(data=tmp_path)
    async with log_of(settings) as log:
        await log.append([submitted(), downtime()])
        async with tailing(settings, after=0, topic=Topic.PAYER) as lines:
            (only,) = await lines.take(1)
        async with tailing(settings, after=0) as lines:
            assert len(await lines.take(2)) == 2
    assert "rte.downtime" in only and "attempt" not in only


async def test_an_encrypted_log_is_read_with_its_key(tmp_path: Path) -> None:
    settings = load(data=tmp_path, data_key=KEY)
    async with log_of(settings) as log:
        await log.append([submitted()])
        async with tailing(settings, after=0, with_data=True) as lines:
            assert "Zebulon" in (await lines.take(1))[0]
        with pytest.raises(LogCorrupt):
            await tail(load(data=tmp_path), topic=None, after=0, with_data=True, write=print, say=print)


async def test_a_log_that_is_not_there_is_told_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed, match="COVEY_DATA"):
        await tail(load(data=tmp_path), topic=None, after=None, with_data=False, write=print, say=print)


async def test_what_is_followed_is_said_before_there_is_an_event(tmp_path: Path) -> None:
    settings = load(data=tmp_path)
    said = Lines()
    async with log_of(settings), tailing(settings, say=said.write):
        assert await said.take(1) == [f"Following {settings.log_path}; Ctrl-C ends."]
