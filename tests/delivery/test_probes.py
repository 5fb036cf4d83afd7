"""Health, readiness and metrics, as machines read them."""

from __future__ import annotations

import asyncio

import httpx
from starlette.applications import Starlette

from bus.clock import SystemClock
from bus.metrics import Metrics
from delivery.probes import Probes
from tests.virtual_time import VirtualClock, run_virtually


def client(probes: Probes) -> httpx.AsyncClient:
    app = Starlette(routes=probes.routes())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://covey")


async def nothing() -> None:
    return None


async def test_a_process_whose_checks_pass_is_ready() -> None:
    async with client(Probes(checks={"log": nothing}, metrics=Metrics(), refresh=nothing, clock=SystemClock())) as http:
        assert (await http.get("/healthz")).json() == {"alive": True}
        response = await http.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"ready": True, "reasons": {}}


async def test_a_process_that_is_not_ready_says_why() -> None:
    async def away() -> str:
        return "The disk is full."

    async with client(
        Probes(checks={"log": away, "drain": nothing}, metrics=Metrics(), refresh=nothing, clock=SystemClock())
    ) as http:
        response = await http.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "reasons": {"log": "The disk is full."}}


async def test_metrics_are_refreshed_before_they_are_read_out() -> None:
    metrics = Metrics()

    async def refresh() -> None:
        metrics.slots.labels(state="held").set(3)

    async with client(Probes(checks={}, metrics=metrics, refresh=refresh, clock=SystemClock())) as http:
        response = await http.get("/metrics")
    assert 'covey_slots{state="held"} 3.0' in response.text


def test_however_often_metrics_are_asked_for_they_are_refreshed_once_a_second() -> None:
    async def main() -> None:
        clock, begun = VirtualClock(), []

        async def refresh() -> None:
            begun.append(clock.monotonic())
            await clock.sleep(0.1)

        async with client(Probes(checks={}, metrics=Metrics(), refresh=refresh, clock=clock)) as http:
            await asyncio.gather(*(http.get("/metrics") for _ in range(20)))
            assert len(begun) == 1
            await clock.sleep(0.5)
            await http.get("/metrics")
            assert len(begun) == 1
            await clock.sleep(0.6)
            assert (await http.get("/metrics")).status_code == 200
        assert len(begun) == 2

    run_virtually(main())


def test_what_does_not_answer_in_time_is_told_as_a_reason() -> None:
    async def silent() -> None:
        await asyncio.sleep(3_600)

    async def main() -> None:
        probes = Probes(
            checks={"log": silent, "readers": silent}, metrics=Metrics(), refresh=silent, clock=VirtualClock()
        )
        began = asyncio.get_running_loop().time()
        readiness = await probes.readiness()
        assert not readiness.ready
        assert readiness.reasons == dict.fromkeys(("log", "readers"), "It does not answer within 2 seconds.")
        assert asyncio.get_running_loop().time() - began == 2

    run_virtually(main())
