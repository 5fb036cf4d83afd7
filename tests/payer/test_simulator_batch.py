"""Batch checks of the simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from bus.clock import SystemClock
from payer.directory import Directory
from payer.simulator.app import simulator_app
from payer.simulator.batches import Batches, NewItem
from payer.simulator.inquiry import legacy_inquiry
from payer.simulator.payers import SimulatedPayers
from tests.payer.conftest import KEY, NOON, Simulator, in_process

MANAGER = "/2024-04-01/eligibility-manager"
SUBMIT = f"{MANAGER}/batch-eligibility"
POLL = f"{MANAGER}/polling/batch-eligibility"


class SetClock(SystemClock):
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def simulator(clock: SetClock) -> AsyncIterator[Simulator]:
    app = simulator_app(seed=1, slots=1, speed=1.0, clock=clock)
    async with in_process(app) as simulator:
        yield simulator


def item(number: int, payer_id: str = "SIMOK", card: str | None = None) -> dict[str, Any]:
    return {
        "submitterTransactionIdentifier": f"item-{number}",
        "tradingPartnerServiceId": payer_id,
        "provider": {"organizationName": "A", "npi": "1999999984"},
        "subscriber": {
            "memberId": card or f"CARD{number}",
            "firstName": "Jane",
            "lastName": "Doe",
            "dateOfBirth": "19710101",
        },
    }


async def submitted(simulator: Simulator, *items: dict[str, Any], name: str = "nightly") -> str:
    response = await simulator.post(SUBMIT, {"name": name, "items": list(items)})
    assert response.status_code == 200
    batch_id: str = response.json()["batchId"]
    return batch_id


async def test_a_batch_is_worked_off_in_time_without_slots(simulator: Simulator, clock: SetClock) -> None:
    batch_id = await submitted(simulator, *(item(number) for number in range(30)))
    status = await simulator.get(f"{MANAGER}/batch/{batch_id}")
    assert (status["status"], status["totalCount"], status["inProgressCount"]) == ("IN_PROGRESS", 30, 30)
    assert status["submittedAt"] == "2026-11-23T12:00:00.000Z"
    assert await simulator.get(POLL, batchId=batch_id) == {"items": [], "nextPageToken": "0"}
    clock.time += timedelta(seconds=3)
    status = await simulator.get(f"{MANAGER}/batch/{batch_id}")
    assert 0 < status["successCount"] < 30
    clock.time += timedelta(minutes=2)
    status = await simulator.get(f"{MANAGER}/batch/{batch_id}")
    assert (status["status"], status["successCount"], status["inProgressCount"]) == ("COMPLETED", 30, 0)
    assert (await simulator.stats())["max_in_flight"] == 0


async def test_results_come_in_the_older_shape_by_pages(simulator: Simulator, clock: SetClock) -> None:
    batch_id = await submitted(simulator, *(item(number) for number in range(25)))
    clock.time += timedelta(minutes=2)
    seen: list[str] = []
    token: str | None = "0"
    while token is not None:
        page = await simulator.get(POLL, batchId=batch_id, pageToken=token)
        assert len(page["items"]) <= 10
        for answer in page["items"]:
            assert answer["batchId"] == batch_id
            assert answer["benefitsInformation"]
            seen.append(answer["submitterTransactionIdentifier"])
        token = page.get("nextPageToken")
    assert sorted(seen) == sorted(f"item-{number}" for number in range(25))


async def test_large_pages_are_compressed(simulator: Simulator, clock: SetClock) -> None:
    batch_id = await submitted(simulator, *(item(number) for number in range(25)))
    clock.time += timedelta(minutes=2)
    response = await simulator.http.get(
        simulator.url + POLL, params={"batchId": batch_id, "pageSize": 200}, headers={"Authorization": KEY}
    )
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.json()["items"]) == 25


async def test_results_of_all_batches_can_be_had_since_a_time(simulator: Simulator, clock: SetClock) -> None:
    first = await submitted(simulator, item(1), name="first")
    clock.time += timedelta(hours=1)
    second = await submitted(simulator, item(2), name="second")
    clock.time += timedelta(hours=1)
    everything = await simulator.get(POLL, startDateTime="2026-11-23T00:00:00Z")
    assert [answer["batchId"] for answer in everything["items"]] == [first, second]
    later = await simulator.get(POLL, startDateTime="2026-11-23T13:00:00")
    assert [answer["batchId"] for answer in later["items"]] == [second]
    assert "nextPageToken" not in later


async def test_items_are_listed_in_every_state_and_can_be_chosen(simulator: Simulator, clock: SetClock) -> None:
    batch_id = await submitted(
        simulator,
        item(1, "87726", "UHC123456"),
        item(2, "87726", "UHCINACTIVE"),
        item(3, "SIMREJECT"),
        item(4, "SIMDOWN"),
        item(5, "87726", "UHCAAA72"),
    )
    path = f"{MANAGER}/batch/{batch_id}/items"
    before = (await simulator.get(path))["items"]
    assert [entry["state"] for entry in before] == ["STARTED", "STARTED", "STARTED", "RETRYING", "STARTED"]
    clock.time += timedelta(minutes=2)
    after = (await simulator.get(path))["items"]
    results = [entry.get("additionalInfo", {}).get("eligibility", {}).get("eligibilityCheckResult") for entry in after]
    assert results == ["ACTIVE", "INACTIVE", "FAILED", None, "FAILED"]
    assert after[2]["additionalInfo"]["eligibility"]["aaaErrors"][0]["code"] == "75"
    chosen = await simulator.get(path, state="COMPLETED_WITH_ERRORS")
    assert [entry["submitterTransactionIdentifier"] for entry in chosen["items"]] == ["item-3", "item-5"]
    chosen = await simulator.get(path, eligibilityCheckResult="INACTIVE")
    assert [entry["submitterTransactionIdentifier"] for entry in chosen["items"]] == ["item-2"]
    first = await simulator.get(path, pageSize=3)
    assert (len(first["items"]), first["nextPageToken"]) == (3, "3")
    clock.time += timedelta(hours=8)
    status = await simulator.get(f"{MANAGER}/batch/{batch_id}")
    assert (status["status"], status["errorCount"]) == ("COMPLETED_WITH_ERRORS", 3)
    listed_id = after[0]["additionalInfo"]["eligibility"]["id"]
    polled = await simulator.get(POLL, batchId=batch_id)
    assert listed_id in [answer["id"] for answer in polled["items"]]


async def test_a_name_is_used_once(simulator: Simulator) -> None:
    await submitted(simulator, item(1))
    again = await simulator.post(SUBMIT, {"name": "nightly", "items": [item(1)]})
    assert again.status_code == 409


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "n", "items": []}, "/items"),
        ({"name": "n", "items": [item(1)] * 10_001}, "/items"),
        ({"name": "a name", "items": [item(1)]}, "/name"),
        ({"items": [item(1)]}, "/name"),
        ({"name": "n", "items": [item(1)], "maxRetryHours": 7}, "/maxRetryHours"),
        ({"name": "n", "items": [item(1)], "maxRetryHours": "8"}, "/maxRetryHours"),
        ({"name": "n", "items": [item(1), {}]}, "/items/1/tradingPartnerServiceId"),
        ({"name": "n", "items": [item(1), None]}, "/items/1"),
        ({"name": "n", "items": [item(1, "NOBODY")]}, "/items/0/tradingPartnerServiceId"),
        (
            {"name": "n", "items": [{**item(1), "submitterTransactionIdentifier": None}]},
            "/items/0/submitterTransactionIdentifier",
        ),
    ],
)
async def test_one_malformed_item_rejects_the_whole_batch(
    simulator: Simulator, body: dict[str, Any], pointer: str
) -> None:
    response = await simulator.post(SUBMIT, body)
    assert response.status_code == 400
    assert pointer in [problem["path"] for problem in response.json()["fieldList"]]
    assert (await simulator.stats())["malformed"] == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{MANAGER}/batch/unknown", 404),
        (f"{MANAGER}/batch/unknown/items", 404),
        (f"{POLL}?batchId=unknown", 404),
        (POLL, 400),
        (f"{POLL}?startDateTime=yesterday", 400),
    ],
)
async def test_what_cannot_be_looked_up_is_refused(simulator: Simulator, path: str, status: int) -> None:
    response = await simulator.http.get(simulator.url + path, headers={"Authorization": KEY})
    assert response.status_code == status


def test_the_oldest_batches_are_forgotten(clock: SetClock) -> None:
    directory = Directory.load(include_simulated=True)
    batches = Batches(SimulatedPayers(directory, 1, 1.0, clock), 1.0, clock)
    payer = directory.find("SIMOK")
    assert payer is not None
    new = NewItem(identifier="item", inquiry=legacy_inquiry(item(1)), payer=payer)
    oldest, second, third = (
        batches.submit(name, [new] * count, 8, test_mode=True)
        for name, count in (("oldest", 1), ("second", 10_000), ("third", 10_000))
    )
    assert batches.get(oldest.id) is None
    assert batches.get(second.id) is second
    assert batches.get(third.id) is third
