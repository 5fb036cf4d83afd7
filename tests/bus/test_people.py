"""The memory of people asked about is never wrong, however small it is and whatever happens while it is filled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from bus.events import Event, Recorded
from bus.ids import MemberId, TenantId
from bus.people import PeopleAskedAbout
from tests.bus.conftest import NOON, question, submitted

T1, M1, ME = TenantId("t1"), MemberId("m1"), "m1"


class History:
    """The events of a log; reading waits for `gate`."""

    def __init__(self, *events: Event) -> None:
        self.events = list(events)
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, tenant_id: TenantId, member_id: MemberId, time: datetime) -> Sequence[Recorded]:
        self.reads += 1
        found = [event for event in self.events if event.member_id == member_id and event.time >= time]
        await self.gate.wait()
        return [Recorded(position=1, event=event) for event in found]


def people(*last_names: str) -> set[str]:
    return {question(last_name=name).person_key(T1) for name in last_names}


async def test_a_member_is_read_once_and_then_remembered() -> None:
    history = History(submitted("r1", last_name="A"))
    asked = PeopleAskedAbout(history.read, max_askers=2)
    assert await asked.since(T1, M1, ME, NOON) == people("A")
    asked.note(submitted("r2", last_name="B"))
    assert await asked.since(T1, M1, ME, NOON) == people("A", "B")
    assert history.reads == 1


async def test_who_did_not_ask_lately_is_forgotten_first() -> None:
    history = History()
    asked = PeopleAskedAbout(history.read, max_askers=2)
    for member in ("m1", "m2", "m1", "m3", "m1"):
        await asked.since(T1, MemberId(member), ME, NOON)
    assert history.reads == 3
    await asked.since(T1, MemberId("m2"), ME, NOON)
    assert history.reads == 4


async def test_what_is_written_while_the_log_is_read_counts() -> None:
    history = History(submitted("r1", last_name="A"))
    asked = PeopleAskedAbout(history.read, max_askers=2)
    history.gate.clear()
    first = asyncio.create_task(asked.since(T1, M1, ME, NOON), name="first")
    await asyncio.sleep(0)
    asked.note(submitted("r2", last_name="B"))
    history.events.append(submitted("r2", last_name="B"))
    second = asyncio.create_task(asked.since(T1, M1, ME, NOON), name="second")
    await asyncio.sleep(0)
    history.gate.set()
    assert await first == people("A", "B")
    assert await second == people("A", "B")
    assert await asked.since(T1, M1, ME, NOON) == people("A", "B")


async def test_what_another_asks_for_the_member_is_not_theirs_read_or_noted() -> None:
    history = History(submitted("r1", last_name="A"), submitted("r2", last_name="B", caller="backend"))
    asked = PeopleAskedAbout(history.read, max_askers=2)
    assert await asked.since(T1, M1, ME, NOON) == people("A")
    asked.note(submitted("r3", last_name="C", caller="backend"))
    assert await asked.since(T1, M1, ME, NOON) == people("A")
    assert await asked.since(T1, M1, "backend", NOON) == people("B")  # what was only noted is in no log here
    asked.note(submitted("r4", last_name="D", caller="backend"))
    assert await asked.since(T1, M1, "backend", NOON) == people("B", "D")
