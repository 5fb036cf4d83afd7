"""A small world in virtual time: a log in memory, admission, a payer that does as told, and the dispatcher between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count

from bus.coverage import Coverage, CoverageStatus
from bus.events import CacheMode, Event, EventData, EventType, Priority, Submitted, Topic
from bus.failure import Failure, FailureKind
from bus.fold import RequestState, RequestStatus, fold
from bus.ids import EventId, MemberId, PayerId, RequestId, TenantId
from bus.memory_log import MemoryLog
from bus.metrics import Metrics
from bus.question import Person, Provider, Question
from payer.outcome import Answer, Broken, Outcome, Rejection, Throttled, Unfinished, Unreachable
from scheduler.dispatcher import Dispatcher
from scheduler.journal import Journal
from scheduler.memory_admission import MemoryAdmission
from scheduler.policy import AdmissionPolicy
from scheduler.recovery import recover
from scheduler.retries import RetryPolicy
from scheduler.worker import Worker
from tests.virtual_time import VirtualClock

TENANT = TenantId("t-1")
PAYER = PayerId("60054")
LEASE_SECONDS = 125.0
LONGEST_CALL_SECONDS = 122.0


def unreachable() -> Unreachable:
    return Unreachable(failure=Failure(code="42", kind=FailureKind.PAYER_UNAVAILABLE, message="No answer."))


def rejection() -> Rejection:
    return Rejection(failure=Failure(code="75", kind=FailureKind.MEMBER_DATA, message="Not found."))


def throttled() -> Throttled:
    return Throttled(failure=Failure(code="HTTP_429", kind=FailureKind.RATE_LIMITED, message="Too many calls."))


def broken() -> Broken:
    return Broken(failure=Failure(code="HTTP_500", kind=FailureKind.INTERNAL, message="It failed."))


def lost() -> Unfinished:
    failure = Failure(code="LOST", kind=FailureKind.INTERNAL, message="The connection was lost.")
    return Unfinished(failure=failure, timed_out=False)


def timed_out() -> Unfinished:
    failure = Failure(code="TIMEOUT", kind=FailureKind.PAYER_UNAVAILABLE, message="No answer in time.")
    return Unfinished(failure=failure, timed_out=True)


@dataclass
class ScriptedPayer:
    """Takes `seconds` for a call, and then answers what the script holds next, or coverage where it is empty."""

    clock: VirtualClock
    seconds: float = 3.0
    script: list[Outcome | Exception] = field(default_factory=list)
    calls: list[RequestId] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def check(self, question: Question, request_id: RequestId) -> Outcome:
        self.calls.append(request_id)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.clock.sleep(self.seconds)
        finally:
            self.in_flight -= 1
        outcome = self.script.pop(0) if self.script else self.answer(question, request_id)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def answer(self, question: Question, request_id: RequestId) -> Answer:
        return Answer(
            coverage=Coverage(
                status=CoverageStatus.ACTIVE,
                payer_id=question.payer_id,
                obtained_at=self.clock.now(),
                request_id=request_id,
            )
        )


@dataclass
class World:
    """One life of the program over a log that outlives it."""

    clock: VirtualClock
    log: MemoryLog
    payer: ScriptedPayer
    admission: MemoryAdmission
    journal: Journal
    dispatcher: Dispatcher
    worker: Worker
    metrics: Metrics
    ids: Callable[[], str]

    async def submit(
        self,
        *,
        payer_id: PayerId = PAYER,
        member: str = "m-1",
        name: str = "Doe",
        deadline_seconds: float = 120,
        priority: Priority = Priority.INTERACTIVE,
    ) -> RequestState:
        state = await self.record_submitted(
            payer_id=payer_id, member=member, name=name, deadline_seconds=deadline_seconds, priority=priority
        )
        return await self.dispatcher.accept(state)

    async def record_submitted(
        self,
        *,
        payer_id: PayerId = PAYER,
        member: str = "m-1",
        name: str = "Doe",
        deadline_seconds: float = 120,
        priority: Priority = Priority.INTERACTIVE,
    ) -> RequestState:
        question = Question(
            member_id=MemberId(member),
            payer_id=payer_id,
            provider=Provider(npi="1999999984", organization_name="Clinic"),
            subscriber=Person(member_id="CARD", first_name="Jane", last_name=name, date_of_birth=date(1990, 1, 1)),
            service_type_codes=("30",),
            date_of_service=date(2026, 11, 23),
        )
        event = Event(
            id=EventId(self.ids()),
            source="test",
            subject=self.ids(),
            time=self.clock.now(),
            tenant_id=TENANT,
            member_id=MemberId(member),
            sequence=1,
            attempt=1,
            data=Submitted(
                payer_id=payer_id,
                question=question,
                priority=priority,
                cache_mode=CacheMode.DEFAULT,
                deadline=self.clock.now() + timedelta(seconds=deadline_seconds),
                caller="someone",
                fingerprint="f",
            ),
        )
        (recorded,) = await self.log.append([event])
        assert recorded is not None
        state = fold(None, recorded)
        assert state is not None
        return state

    async def write_as_another(self, state: RequestState, data: EventData) -> None:
        """Append the request's next event behind the dispatcher's back."""
        found = await self.log.get(state.tenant_id, state.request_id)
        assert found is not None
        event = Event(
            id=EventId(self.ids()),
            source="another",
            subject=state.request_id,
            time=self.clock.now(),
            tenant_id=state.tenant_id,
            member_id=state.member_id,
            sequence=found.sequence + 1,
            attempt=found.attempt,
            data=data,
        )
        (recorded,) = await self.log.append([event])
        assert recorded is not None

    async def types(self, state: RequestState) -> list[str]:
        return [r.event.type.removeprefix("rte.") for r in await self.log.read_request(state.request_id)]

    async def events(self, state: RequestState) -> Sequence[Event]:
        return [r.event for r in await self.log.read_request(state.request_id)]

    async def status(self, state: RequestState) -> RequestStatus:
        found = await self.log.get(state.tenant_id, state.request_id)
        assert found is not None
        return found.status

    async def all_of(self, type_: EventType) -> list[Event]:
        topic = Topic.PAYER if type_ is EventType.DOWNTIME else Topic.RTE
        return [r.event for r in await self.log.read(topic, after=0, limit=10_000) if r.event.type is type_]


@asynccontextmanager
async def living(
    log: MemoryLog,
    clock: VirtualClock,
    *,
    slots: int = 15,
    seed: int = 1,
    admission_type: type[MemoryAdmission] = MemoryAdmission,
) -> AsyncIterator[World]:
    """Start over `log` as the program does, and die as abruptly as it may at the end."""
    numbers = count()
    ids = lambda: f"{seed}-{next(numbers):04}"  # noqa: E731
    metrics = Metrics()
    journal = Journal(log, log, clock, ids, metrics)
    admission = admission_type(AdmissionPolicy(slots=slots, lease_seconds=LEASE_SECONDS), new_id=ids)
    payer = ScriptedPayer(clock)
    dispatcher = Dispatcher(journal=journal, admission=admission, clock=clock, metrics=metrics)
    worker = Worker(
        dispatcher=dispatcher,
        journal=journal,
        admission=admission,
        payer=payer,
        longest_call_seconds=LONGEST_CALL_SECONDS,
        retries=RetryPolicy(random.Random(seed)),
        clock=clock,
        metrics=metrics,
    )
    await recover(
        log=log,
        requests=log,
        journal=journal,
        admission=admission,
        dispatcher=dispatcher,
        clock=clock,
        lease_seconds=LEASE_SECONDS,
    )
    running = asyncio.create_task(worker.run())
    try:
        yield World(clock, log, payer, admission, journal, dispatcher, worker, metrics, ids)
        if running.done():
            running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
