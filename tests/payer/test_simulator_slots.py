"""The simulator's own count of slots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from payer import current_shape, legacy_shape
from payer.outcome import Answer, Broken, Throttled, Unfinished
from payer.simulator.app import simulator_app
from payer.simulator.running import running_simulator
from tests.payer.conftest import (
    LEGACY_BODY,
    FixedClock,
    Simulator,
    plain_http,
    question,
    simulated,
)

CURRENT_PATH = current_shape.PATH
LEGACY_PATH = legacy_shape.PATH
UNAVAILABLE = {"42", "79"}


class HeldClock(FixedClock):
    """Calls take until they are let go."""

    def __init__(self) -> None:
        self.entered = 0
        self.let_go = asyncio.Event()
        self.arrived = asyncio.Condition()

    async def sleep(self, seconds: float) -> None:
        async with self.arrived:
            self.entered += 1
            self.arrived.notify_all()
        await self.let_go.wait()

    async def wait_for(self, entered: int) -> None:
        async with self.arrived:
            await self.arrived.wait_for(lambda: self.entered >= entered)


@pytest.fixture
async def held() -> AsyncIterator[tuple[Simulator, HeldClock]]:
    clock = HeldClock()
    app = simulator_app(seed=1, slots=3, speed=1.0, clock=clock)
    async with running_simulator(app) as url, plain_http() as http:
        yield Simulator(http, url), clock


async def until_abandoned(simulator: Simulator, count: int) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (stats := await simulator.stats())["abandoned"] < count:
            pass
    return stats


async def test_a_call_over_the_slots_is_refused_and_counted(held: tuple[Simulator, HeldClock]) -> None:
    simulator, clock = held
    calls = [asyncio.create_task(simulator.ask(question(card=f"CARD{number}"))) for number in range(3)]
    await clock.wait_for(3)
    refused = await simulator.post(LEGACY_PATH, LEGACY_BODY)
    assert refused.status_code == 429
    assert refused.json()["code"] == "TOO_MANY_REQUESTS"
    assert "CUSTOMER_LIMIT" in refused.json()["message"]
    assert isinstance(await simulator.ask(question("87726")), Throttled)
    stats = await simulator.stats()
    assert (stats["in_flight"], stats["refused"], stats["calls"]) == (3, 2, 5)
    clock.let_go.set()
    assert all(isinstance(outcome, Answer) for outcome in await asyncio.gather(*calls))
    stats = await simulator.stats()
    assert (stats["in_flight"], stats["max_in_flight"], stats["abandoned"]) == (0, 3, 0)
    assert stats["by_payer"] == {
        "87726": {"calls": 1, "in_flight": 0, "max_in_flight": 0},
        "SIMOK": {"calls": 4, "in_flight": 0, "max_in_flight": 3},
    }


async def test_an_abandoned_call_keeps_its_slot_until_its_time_is_up(held: tuple[Simulator, HeldClock]) -> None:
    simulator, clock = held
    for number in range(3):
        outcome = await simulator.ask(question(card=f"CARD{number}"), seconds=0.2)
        assert isinstance(outcome, Unfinished)
    stats = await until_abandoned(simulator, 3)
    assert (stats["in_flight"], stats["abandoned"]) == (3, 3)
    assert isinstance(await simulator.ask(question()), Throttled)
    clock.let_go.set()
    async with asyncio.timeout(20):
        while (await simulator.stats())["in_flight"]:
            pass
    assert isinstance(await simulator.ask(question()), Answer)
    stats = await simulator.stats()
    assert (stats["max_in_flight"], stats["abandoned"]) == (3, 3)


async def test_a_payer_that_refuses_for_load_takes_no_slot(held: tuple[Simulator, HeldClock]) -> None:
    simulator, _ = held
    for _ in range(5):
        assert isinstance(await simulator.ask(question("SIM429")), Throttled)
    stats = await simulator.stats()
    assert (stats["calls"], stats["refused"], stats["max_in_flight"]) == (5, 0, 0)


async def test_whoever_has_an_answer_may_call_again_at_once() -> None:
    async with simulated(slots=2) as simulator:

        async def one_after_another(name: str) -> None:
            for number in range(40):
                assert isinstance(await simulator.ask(question(card=f"{name}{number}")), Answer)

        await asyncio.gather(one_after_another("A"), one_after_another("B"))
        stats = await simulator.stats()
    assert (stats["refused"], stats["calls"]) == (0, 80)


async def test_stopping_ends_calls_under_way() -> None:
    clock = HeldClock()
    app = simulator_app(seed=1, slots=3, speed=1.0, clock=clock)
    async with plain_http() as http, running_simulator(app) as url:
        call = asyncio.create_task(Simulator(http, url).ask(question()))
        await clock.wait_for(1)
        app.state.checks.hang_up()
        outcome = await call
        late = await Simulator(http, url).ask(question())
    assert isinstance(outcome, Broken)
    assert isinstance(late, Broken)
    assert outcome.failure.code == late.failure.code == "HTTP_503"


async def test_a_port_that_is_taken_is_an_error() -> None:
    app = simulator_app(1, 15, 1.0, FixedClock())
    async with running_simulator(app) as url:
        with pytest.raises(OSError, match="in use"):
            async with running_simulator(app, port=int(url.rsplit(":", 1)[1])):
                pass
