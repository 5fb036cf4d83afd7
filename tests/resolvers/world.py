"""Everything behind the use cases, in virtual time: a log in memory, its readers, the dispatcher, a payer that does as
told. Only the payer and the clock are doubles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from bus.claims import OneOrder
from bus.coverage import Coverage, CoverageStatus
from bus.cursor import Cursors
from bus.errors import LogUnavailable
from bus.events import CacheMode, Downtime, Event, Priority, Recorded, Submitted, Topic
from bus.fanout import Fanout
from bus.ids import EventId, MemberId, PayerId, RequestId, TenantId
from bus.memory_log import MemoryLog
from bus.question import Person, Provider, Question
from bus.reader import Reader
from bus.replay import Streams
from delivery.caller import Caller, Role
from delivery.connect_tokens import ConnectTokens
from delivery.connections import Connections
from delivery.presence import OwnPresence
from delivery.revocation import Learner, Revocations, Revoked
from payer.directory import Directory, PayerRecord
from resolvers.given import GivenQuestion, GivenSubmission
from resolvers.use_cases import UseCases, assemble
from scheduler.errors import QueueFull
from tests.scheduler.world import World as SchedulerWorld
from tests.scheduler.world import living
from tests.virtual_time import VirtualClock, run_virtually
from warming.freshness import Freshness
from warming.memory_cache import MemoryCache
from warming.view import CoverageView

TENANT: Final = TenantId("acme")
OTHER_TENANT: Final = TenantId("globex")
MEMBER: Final = MemberId("m-1")
AETNA: Final = PayerId("60054")
CIGNA: Final = PayerId("62308")
TODAY: Final = date(2026, 11, 23)
FRESH_SECONDS: Final = 3600.0
STALE_SECONDS: Final = 86_400.0
PEOPLE_PER_DAY: Final = 3
PROVIDER: Final = Provider(npi="1999999984", organization_name="Clinic")
DIRECTORY: Final = Directory(
    [
        PayerRecord(id=AETNA, name="Aetna", aliases=("AETNA", "ABC12")),
        PayerRecord(id=CIGNA, name="Cigna", aliases=("CIGNA",)),
        PayerRecord(id=PayerId("87726"), name="UnitedHealthcare", aliases=("UHC",)),
    ]
)


class BreakableLog(MemoryLog):
    """Away while `away` is set; while `late` is, its view of requests knows of none, as one behind the log does."""

    def __init__(self, epoch: str = "epoch") -> None:
        super().__init__(epoch)
        self.away = False
        self.late = False

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        self._refuse()
        return await super().append(events, ids_are_new=ids_are_new)

    async def get(self, tenant_id: TenantId, request_id: RequestId) -> Any:
        self._refuse()
        return None if self.late else await super().get(tenant_id, request_id)

    async def states(self, request_ids: Sequence[RequestId]) -> Any:
        return [] if self.late else await super().states(request_ids)

    def _refuse(self) -> None:
        if self.away:
            raise LogUnavailable("/data/covey.db is full")


@dataclass
class World:
    """What a test can look at and turn."""

    clock: VirtualClock
    log: BreakableLog
    cache: MemoryCache
    cursors: Cursors
    streams: Streams
    scheduler: SchedulerWorld
    use_cases: UseCases

    async def submit(self, caller: Caller | None = None, **changes: Any) -> Any:
        return await self.use_cases.submission.submit(caller or member(), submission(**changes))

    async def put(self, age_seconds: float, given: GivenQuestion | None = None, tenant: TenantId = TENANT) -> Coverage:
        """Lay an answer of that age into the cache."""
        held = Coverage(
            status=CoverageStatus.ACTIVE,
            payer_id=AETNA,
            obtained_at=self.clock.now() - timedelta(seconds=age_seconds),
            request_id=RequestId("earlier"),
            plan_name="Open Choice",
        )
        await self.cache.put(tenant, resolved(given or question()).key(tenant), held)
        return held

    async def requests(self, tenant: TenantId = TENANT) -> list[Any]:
        page = await self.log.page(tenant, member_id=None, statuses=frozenset(), first=100, before=None)
        return list(page.requests)

    async def downtime(self, payer: PayerId, *, available: bool) -> None:
        data = Downtime(payer_id=payer, available=available, since=self.clock.now())
        number = EventId(f"{payer}-{available}")
        await self.log.append([Event(id=number, source="test", subject=payer, time=self.clock.now(), data=data)])

    def fill_queue(self) -> None:
        """From here on there is no room."""

        async def no_room(tenant_id: TenantId, priority: Priority) -> None:
            raise QueueFull(7)

        self.scheduler.dispatcher.room = no_room  # type: ignore[method-assign] # in place of a long queue

    def submits(self) -> dict[str, float]:
        samples = [s for metric in self.scheduler.metrics.submits.collect() for s in metric.samples]
        return {sample.labels["result"]: sample.value for sample in samples if sample.name.endswith("_total")}


def question(**changes: Any) -> GivenQuestion:
    fields: dict[str, Any] = {
        "member_id": MEMBER,
        "payer_id": "AETNA",
        "subscriber": person(),
    }
    return GivenQuestion(**fields | changes)


def person(**changes: Any) -> Person:
    fields: dict[str, Any] = {
        "member_id": "W000000001",
        "first_name": "Ana",
        "last_name": "Rivera",
        "date_of_birth": date(1980, 1, 1),
    }
    return Person(**fields | changes)


def submission(**changes: Any) -> GivenSubmission:
    """Changes of a submission, or of its question."""
    own = {name: changes.pop(name) for name in list(changes) if name in GivenSubmission.__struct_fields__}
    return GivenSubmission(**{"question": question(**changes)} | own)


def resolved(given: GivenQuestion) -> Question:
    """The question as the rules make it of what the tests give."""
    payer = DIRECTORY.find(given.payer_id)
    assert payer is not None
    return Question(
        member_id=MemberId(given.member_id),
        payer_id=payer.id,
        provider=PROVIDER,
        subscriber=given.subscriber,
        dependent=given.dependent,
        service_type_codes=tuple(sorted(set(given.service_type_codes))),
        date_of_service=given.date_of_service or TODAY,
    )


def caller(
    *roles: Role,
    tenant: TenantId = TENANT,
    member_id: str | None = None,
    subject: str = "somebody",
    connect_only: bool = False,
) -> Caller:
    return Caller(
        subject=subject,
        tenant_id=tenant,
        roles=frozenset(roles),
        member_id=None if member_id is None else MemberId(member_id),
        expires_at=datetime(2027, 1, 1, tzinfo=UTC),
        connect_only=connect_only,
    )


def member(member_id: str = MEMBER, tenant: TenantId = TENANT, *, connect_only: bool = False) -> Caller:
    return caller(Role.MEMBER, tenant=tenant, member_id=member_id, subject=member_id, connect_only=connect_only)


def service(tenant: TenantId = TENANT) -> Caller:
    return caller(Role.SERVICE, tenant=tenant, subject="backend")


def operator(tenant: TenantId = TENANT) -> Caller:
    return caller(Role.OPERATOR, tenant=tenant, subject="olga")


def first_event(request_id: str, given: GivenQuestion, at: datetime, tenant: TenantId = TENANT) -> Event:
    """A request as somebody else may have recorded it."""
    return Event(
        id=EventId(f"{request_id}/1"),
        source="test",
        subject=request_id,
        time=at,
        tenant_id=tenant,
        member_id=MemberId(given.member_id),
        sequence=1,
        attempt=1,
        data=Submitted(
            payer_id=AETNA,
            question=resolved(given),
            priority=Priority.INTERACTIVE,
            cache_mode=CacheMode.DEFAULT,
            deadline=at + timedelta(seconds=600),
            caller="somebody",
            fingerprint="f",
        ),
    )


class Forgetful:
    """A RevocationStore that keeps nothing."""

    async def load(self) -> Sequence[Revoked]:
        return ()

    async def keep(self, revoked: Revoked) -> None: ...

    async def follow(self, learner: Learner) -> None: ...


@asynccontextmanager
async def running(*, slots: int = 15) -> AsyncIterator[World]:
    clock, log, cache = VirtualClock(), BreakableLog(), MemoryCache()
    async with living(log, clock, slots=slots) as scheduler:
        fanout, cursors = Fanout(), Cursors(b"k" * 32, log.epoch)
        streams = Streams(log, fanout, cursors, clock, scheduler.metrics)
        sinks = {Topic.RTE: [CoverageView(cache), fanout], Topic.PAYER: [fanout]}
        readers = [
            Reader(log, topic, sinks[topic], scheduler.metrics, clock, start_after=0)  # type: ignore[arg-type] # mixed list
            for topic in Topic
        ]
        connections = Connections(metrics=scheduler.metrics, clock=clock)
        use_cases = assemble(
            claims=OneOrder(),
            log=log,
            requests=log,
            cursors=cursors,
            streams=streams,
            dispatcher=scheduler.dispatcher,
            directory=DIRECTORY,
            default_provider=PROVIDER,
            cache=cache,
            freshness=Freshness(fresh_seconds=FRESH_SECONDS, stale_seconds=STALE_SECONDS),
            connect_tokens=ConnectTokens(
                shared_key=b"k" * 32, url="ws://covey.test/graphql", ttl_seconds=300, clock=clock, new_id=scheduler.ids
            ),
            people_per_day=PEOPLE_PER_DAY,
            clock=clock,
            new_id=scheduler.ids,
            metrics=scheduler.metrics,
            presence=OwnPresence(connections, "one"),
            revocations=Revocations(Forgetful(), connections=connections, clock=clock),
        )
        async with fanout, readers[0], readers[1]:
            yield World(clock, log, cache, cursors, streams, scheduler, use_cases)
        await use_cases.acceptance.close()


def in_world(scenario: Callable[[World], Awaitable[None]], *, slots: int = 15) -> None:
    """Run a scenario from start to end."""

    async def main() -> None:
        async with running(slots=slots) as world:
            await scenario(world)

    run_virtually(main())
