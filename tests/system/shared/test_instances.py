"""Whatever instance a client meets, it finds the same: events, requests, keys, cancellations, calls under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.system.program import FOLLOW, STATUS, TERMINAL, question, subscribe
from tests.system.shared.cluster import Cluster, Instance, cluster, own_redis
from tests.system.shared.roaming import MEMBER_EVENTS, cut, items_of

pytestmark = pytest.mark.services

CANCEL = """
mutation Cancel($id: ID!) {
  cancelCoverageRequest(id: $id) {
    __typename
    ... on CoverageRequestCancelled { request { id status } }
    ... on Refused { reason }
  }
}
"""


class Pair:
    """Two gateways and a worker."""

    def __init__(self, together: Cluster, first: Instance, second: Instance) -> None:
        self.cluster = together
        self.client = together.client(first, second)


@pytest_asyncio.fixture
async def pair(tmp_path: Path, kafka_address: str) -> AsyncIterator[Pair]:
    async with (
        own_redis(tmp_path) as redis,
        cluster(tmp_path, kafka_address, redis.url, speed=20, lease_seconds="10", call_timeout_seconds="7") as together,
    ):
        first, second, _ = await asyncio.gather(together.serve(), together.serve(), together.worker())
        yield Pair(together, first, second)


async def test_a_client_that_was_cut_goes_on_at_another_instance_with_each_event_once(pair: Pair) -> None:
    request_id = await pair.client.submitted(question("m-1", "SIMSLOW"))
    seen: list[dict[str, Any]] = []
    async with pair.client.socket(0) as socket_:
        await subscribe(socket_, FOLLOW, id=request_id)
        async for item in items_of(socket_, "coverageRequestEvents"):
            seen.append(item)
            if len(seen) == 2:
                cut(socket_)
                break
    seen += await pair.client.follow(request_id, seen[-1]["cursor"], at=1)

    assert [item["sequence"] for item in seen] == list(range(1, len(seen) + 1))
    assert len({item["id"] for item in seen}) == len(seen)
    assert seen[-1]["type"] in TERMINAL


async def test_a_member_resumes_everything_at_another_instance(pair: Pair) -> None:
    async with pair.client.socket(0) as socket_:
        await subscribe(socket_, MEMBER_EVENTS, member="m-1")
        checkpoint = await anext(items_of(socket_, "memberEvents"))
        cut(socket_)
    assert checkpoint["__typename"] == "Checkpoint"
    requests = [await pair.client.submitted(question("m-1", "SIMOK", last_name=name)) for name in ("Ash", "Bee")]
    other = await pair.client.submitted(question("m-2", "SIMOK"))
    for request_id in (*requests, other):
        await pair.client.ended(request_id)

    by_request: dict[str, list[dict[str, Any]]] = {}
    ended = 0
    async for item in pair.client.items(1, MEMBER_EVENTS, "memberEvents", member="m-1", after=checkpoint["cursor"]):
        if item["__typename"] == "CoverageRequestEvent":
            by_request.setdefault(item["requestId"], []).append(item)
            ended += item["type"] in TERMINAL
        if ended == len(requests):
            break
    assert set(by_request) == set(requests)
    for items in by_request.values():
        assert [item["sequence"] for item in items] == list(range(1, len(items) + 1))


async def test_what_one_instance_accepted_is_told_by_the_other_at_once(pair: Pair) -> None:
    for number in range(50):
        request_id = await pair.client.submitted(question(f"m-{number}", "SIMSLOW"), at=number % 2)
        found = (await pair.client.execute(STATUS, at=(number + 1) % 2, id=request_id))["coverageRequest"]
        assert found is not None, number


async def test_a_key_is_one_request_over_all_instances(pair: Pair) -> None:
    asked = question("m-1", "SIMOK")
    answers = await asyncio.gather(
        *(pair.client.submitted(asked, at=number % 2, idempotencyKey="one") for number in range(8))
    )
    assert len(set(answers)) == 1
    await pair.client.ended(answers[0])
    assert await pair.client.submitted(asked, at=1, idempotencyKey="one") == answers[0]
    other = question("m-1", "SIMOK", last_name="Other")
    refused = await pair.client.submit(other, at=1, idempotencyKey="one")
    assert refused["reason"] == "IDEMPOTENCY_CONFLICT"


async def test_a_key_used_for_two_members_at_once_is_accepted_for_one(pair: Pair) -> None:
    """Their events lie in two orders: the log alone would take both."""
    for round_ in range(10):
        answers = await asyncio.gather(
            *(
                pair.client.submit(question(f"m-{number}", "SIMOK"), at=number % 2, idempotencyKey=f"key {round_}")
                for number in range(4)
            )
        )
        kinds = sorted(answer["__typename"] for answer in answers)
        assert kinds == ["CoverageRequestAccepted", "Refused", "Refused", "Refused"]
        reasons = {answer["reason"] for answer in answers if answer["__typename"] == "Refused"}
        assert reasons == {"IDEMPOTENCY_CONFLICT"}


async def test_a_request_is_cancelled_at_another_instance_and_its_follower_hears_it(pair: Pair) -> None:
    request_id = await pair.client.submitted(question("m-1", "SIMHANG"))
    following = asyncio.create_task(pair.client.follow(request_id))
    answer = await pair.client.execute(CANCEL, at=1, id=request_id)
    assert answer["cancelCoverageRequest"] == {
        "__typename": "CoverageRequestCancelled",
        "request": {"id": request_id, "status": "CANCELLED"},
    }
    assert (await following)[-1]["type"] == "CANCELLED"


async def test_the_same_question_at_two_instances_is_one_call(pair: Pair) -> None:
    asked = question("m-1", "SIMSLOW")
    requests = await asyncio.gather(*(pair.client.submitted(asked, at=number % 2) for number in range(6)))
    assert len(set(requests)) == 6
    endings = [(await pair.client.follow(each))[-1]["type"] for each in requests]
    assert endings == ["COMPLETED"] * 6
    assert (await pair.cluster.stats())["calls"] == 1
