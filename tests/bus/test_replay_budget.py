"""History for many at once: bounded, in order, and one read for all who want the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bus.errors import LogUnavailable
from bus.events import Recorded
from bus.ids import MemberId, TenantId
from bus.memory_log import MemoryLog
from bus.metrics import Metrics
from bus.replay_budget import BudgetedLog
from tests.bus.conftest import submitted

ACME = TenantId("acme")


class SlowLog(MemoryLog):
    """Reads wait until they are let go; what they find is what there is when they begin."""

    def __init__(self) -> None:
        super().__init__("epoch")
        self.began: list[tuple[str, int]] = []
        self.go = asyncio.Event()
        self.reading = self.most = 0
        self.broken = False
        self.written = 0

    async def read_member(
        self, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int
    ) -> Sequence[Recorded]:
        self.began.append((member_id, after))
        found = self.written
        self.reading += 1
        self.most = max(self.most, self.reading)
        await self.go.wait()
        self.reading -= 1
        if self.broken:
            raise LogUnavailable("away")
        return [Recorded(position=found, event=submitted("r-1"))]


def world(at_once: int = 2) -> tuple[SlowLog, BudgetedLog, Metrics]:
    log, metrics = SlowLog(), Metrics()
    return log, BudgetedLog(log, metrics, at_once=at_once), metrics


def read(log: BudgetedLog, member: str, after: int = 0) -> asyncio.Task[Sequence[Recorded]]:
    return asyncio.create_task(log.read_member(ACME, MemberId(member), after=after, limit=10))


async def test_no_more_reads_at_once_than_there_are_places_and_those_in_order() -> None:
    log, budgeted, _ = world()
    reads = [read(budgeted, f"m-{number}") for number in range(10)]
    await asyncio.sleep(0)
    assert log.reading == 2
    log.go.set()
    await asyncio.gather(*reads)
    assert log.most == 2 and [member for member, _ in log.began] == [f"m-{number}" for number in range(10)]


async def test_who_waits_for_the_same_is_given_it_by_one_read() -> None:
    log, budgeted, metrics = world(at_once=1)
    first = read(budgeted, "m-0")
    await asyncio.sleep(0)
    same = [read(budgeted, "m-1") for _ in range(50)]
    other = read(budgeted, "m-1", after=7)
    await asyncio.sleep(0)
    log.go.set()
    await asyncio.gather(first, other, *same)
    assert log.began == [("m-0", 0), ("m-1", 0), ("m-1", 7)]
    shared = metrics.registry.get_sample_value("covey_history_reads_total", {"how": "shared"})
    assert shared == 49


async def test_a_read_that_began_is_never_joined_since_it_may_lack_what_came_since() -> None:
    log, budgeted, _ = world(at_once=1)
    early = read(budgeted, "m-1")
    await asyncio.sleep(0)
    log.written = 1
    late = read(budgeted, "m-1")
    await asyncio.sleep(0)
    log.go.set()
    assert [(await early)[0].position, (await late)[0].position] == [0, 1]


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    log, budgeted, _ = world(at_once=1)
    first = read(budgeted, "m-0")
    await asyncio.sleep(0)
    initiator, joined = read(budgeted, "m-1"), read(budgeted, "m-1")
    await asyncio.sleep(0)
    initiator.cancel()
    first.cancel()
    log.go.set()
    assert await joined
    assert budgeted._free == 1 and not budgeted._wanted


async def test_a_log_that_is_away_is_told_to_all_who_wait_and_leaves_the_places_free() -> None:
    log, budgeted, _ = world(at_once=1)
    log.broken = True
    reads = [read(budgeted, member) for member in ("m-0", "m-1", "m-1")]
    await asyncio.sleep(0)
    log.go.set()
    assert [type(one) for one in await asyncio.gather(*reads, return_exceptions=True)] == [LogUnavailable] * 3
    log.broken = False
    assert await read(budgeted, "m-2") and not budgeted._wanted
