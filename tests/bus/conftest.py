"""Events of requests, each made from the one before it, and the logs of this room's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from bus.clock import SystemClock
from bus.coverage import Coverage, CoverageStatus
from bus.events import (
    TYPE_OF,
    Answered,
    CacheMode,
    Cancelled,
    Completed,
    Downtime,
    Enqueued,
    Event,
    EventData,
    Failed,
    Priority,
    Purpose,
    Scheduled,
    Started,
    Submitted,
    TimedOut,
)
from bus.failure import Failure, FailureKind
from bus.ids import CallId, EventId, MemberId, PayerId, RequestId, TenantId
from bus.kafka.log import KafkaLog
from bus.memory_log import MemoryLog
from bus.metrics import Metrics
from bus.question import Person, Provider, Question
from bus.sealing import TenantSealer
from bus.sqlite.log import SqliteLog
from tests.bus.kafka_logs import link_to, new_topics, open_kafka_log

NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
FAILURE: Final = Failure(code="42", kind=FailureKind.PAYER_UNAVAILABLE, message="The payer does not answer.")


def question(member: str = "m1", *, payer: str = "60054", last_name: str = "Rivera") -> Question:
    return Question(
        member_id=MemberId(member),
        payer_id=PayerId(payer),
        provider=Provider(npi="1999999984", organization_name="Clinic"),
        subscriber=Person(
            member_id="W000000001", first_name="Ana", last_name=last_name, date_of_birth=date(1980, 1, 1)
        ),
        service_type_codes=("30",),
        date_of_service=date(2026, 3, 2),
    )


def coverage(request_id: str = "r1", *, payer: str = "60054", plan_name: str = "Open Choice") -> Coverage:
    return Coverage(
        status=CoverageStatus.ACTIVE,
        payer_id=PayerId(payer),
        obtained_at=NOON,
        request_id=RequestId(request_id),
        plan_name=plan_name,
    )


def submitted(
    request_id: str = "r1",
    *,
    tenant: str = "t1",
    member: str = "m1",
    payer: str = "60054",
    last_name: str = "Rivera",
    time: datetime = NOON,
    priority: Priority = Priority.INTERACTIVE,
    purpose: Purpose = Purpose.ASKED,
    deadline_seconds: float = 120,
    caller: str | None = None,
) -> Event:
    """The first event of a request, its member's own unless a caller is named; every other factory takes the event
    that it follows."""
    return Event(
        id=EventId(f"{request_id}/1"),
        source="test",
        subject=request_id,
        time=time,
        tenant_id=TenantId(tenant),
        member_id=MemberId(member),
        sequence=1,
        attempt=1,
        data=Submitted(
            payer_id=PayerId(payer),
            question=question(member, payer=payer, last_name=last_name),
            priority=priority,
            cache_mode=CacheMode.DEFAULT,
            deadline=time + timedelta(seconds=deadline_seconds),
            caller=caller or member,
            fingerprint="f1",
            purpose=purpose,
        ),
    )


def enqueued(
    after: Event, *, cause: Failure | None = None, ended_call: str | None = None, time: datetime | None = None
) -> Event:
    """With a `cause` it is a retry: the attempt counts up."""
    data = Enqueued(payer_id=_payer(after), queue_position=1, cause=cause, ended_call=_call(ended_call))
    return _next(after, data, time, attempt=(after.attempt or 0) + (cause is not None))


def scheduled(after: Event, call_id: str = "c1", *, lease_seconds: float = 125, time: datetime | None = None) -> Event:
    lease = (time or after.time) + timedelta(seconds=lease_seconds)
    return _next(after, Scheduled(payer_id=_payer(after), call_id=CallId(call_id), lease_expires_at=lease), time)


def started(after: Event, call_id: str = "c1", *, lease_seconds: float = 125, time: datetime | None = None) -> Event:
    lease = (time or after.time) + timedelta(seconds=lease_seconds)
    return _next(after, Started(payer_id=_payer(after), call_id=CallId(call_id), lease_expires_at=lease), time)


def completed(
    after: Event, call_id: str = "c1", *, plan_name: str = "Open Choice", time: datetime | None = None
) -> Event:
    payer = _payer(after)
    data = Completed(
        payer_id=payer,
        call_id=CallId(call_id),
        question_key="k1",
        coverage=coverage(after.subject, payer=payer, plan_name=plan_name),
    )
    return _next(after, data, time)


def failed(after: Event, *, ended_call: str | None = None, time: datetime | None = None) -> Event:
    return _next(after, Failed(payer_id=_payer(after), failure=FAILURE, ended_call=_call(ended_call)), time)


def timed_out(after: Event, *, time: datetime | None = None) -> Event:
    failure = Failure(code="TIMEOUT", kind=FailureKind.DEADLINE, message="The deadline passed.")
    return _next(after, TimedOut(payer_id=_payer(after), failure=failure), time)


def cancelled(after: Event, *, time: datetime | None = None) -> Event:
    return _next(after, Cancelled(payer_id=_payer(after)), time)


def answered(call_id: str = "c1", *, tenant: str = "t1", member: str = "m1", time: datetime = NOON) -> Event:
    """A call's end after its waiters had gone; belongs to no request."""
    return Event(
        id=EventId(f"{call_id}/answered"),
        source="test",
        subject=call_id,
        time=time,
        tenant_id=TenantId(tenant),
        member_id=MemberId(member),
        data=Answered(payer_id=PayerId("60054"), call_id=CallId(call_id), question_key="k1", coverage=coverage()),
    )


def downtime(payer: str = "60054", *, available: bool = False, time: datetime = NOON) -> Event:
    return Event(
        id=EventId(f"{payer}/{time.isoformat()}/{available}"),
        source="test",
        subject=payer,
        time=time,
        data=Downtime(payer_id=PayerId(payer), available=available, since=time),
    )


def _next(after: Event, data: EventData, time: datetime | None, *, attempt: int | None = None) -> Event:
    sequence = (after.sequence or 0) + 1
    return Event(
        id=EventId(f"{after.subject}/{sequence}/{TYPE_OF[type(data)]}"),
        source="test",
        subject=after.subject,
        time=time or after.time + timedelta(seconds=1),
        tenant_id=after.tenant_id,
        member_id=after.member_id,
        sequence=sequence,
        attempt=attempt or after.attempt,
        data=data,
    )


def _payer(event: Event) -> PayerId:
    return event.data.payer_id


def _call(call_id: str | None) -> CallId | None:
    return None if call_id is None else CallId(call_id)


AnyLog = MemoryLog | SqliteLog
ClosableLog = MemoryLog | SqliteLog | KafkaLog
OpenSqlite = Callable[..., Awaitable[SqliteLog]]


@pytest.fixture
async def memory_log() -> AsyncIterator[MemoryLog]:
    log = await MemoryLog.open(new_epoch=lambda: "epoch1")
    yield log
    await log.close()


@pytest.fixture
def open_sqlite(tmp_path: Path) -> OpenSqlite:
    """Opens the log of this test's folder; keyword arguments go to `SqliteLog.open`."""

    async def open_log(path: Path = tmp_path / "log.sqlite", epoch: str = "epoch1", **options: Any) -> SqliteLog:
        return await SqliteLog.open(path, clock=SystemClock(), new_epoch=lambda: epoch, metrics=Metrics(), **options)

    return open_log


@pytest.fixture(params=["memory", "sqlite", "sqlite read from disk", "sqlite sealed"])
async def log(
    request: pytest.FixtureRequest, open_sqlite: OpenSqlite, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AnyLog]:
    """Every adapter; one of them with no room in memory, so that all is read from its file."""
    log: AnyLog
    match request.param:
        case "memory":
            log = await MemoryLog.open(new_epoch=lambda: "epoch1")
        case "sqlite":
            log = await open_sqlite()
        case "sqlite read from disk":
            monkeypatch.setattr("bus.sqlite.log._TAIL_EVENTS", 0)
            log = await open_sqlite()
        case _:
            monkeypatch.setattr("bus.sqlite.log._TAIL_EVENTS", 0)
            log = await open_sqlite(sealer=TenantSealer(b"k" * 32))
    yield log
    await log.close()


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        "sqlite sealed",
        pytest.param("kafka", marks=pytest.mark.services),
        pytest.param("kafka read by seeking", marks=pytest.mark.services),
        pytest.param("kafka sealed", marks=pytest.mark.services),
    ]
)
async def event_log(
    request: pytest.FixtureRequest, open_sqlite: OpenSqlite, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ClosableLog]:
    """Every adapter of `EventLog`; one of them with no room in memory, so that all is read from Kafka itself."""
    sealer = TenantSealer(b"k" * 32) if "sealed" in request.param else None
    if "kafka" not in request.param:
        log = (
            await MemoryLog.open(new_epoch=lambda: "epoch1")
            if request.param == "memory"
            else await open_sqlite(sealer=sealer)
        )
        yield log
        await log.close()
        return
    if "seeking" in request.param:
        monkeypatch.setattr("bus.kafka.log._TAIL_EVENTS", 0)
    link = link_to(request.getfixturevalue("kafka_address"))
    async with new_topics(link) as prefix, open_kafka_log(link, prefix, sealer=sealer) as kafka:
        yield kafka
