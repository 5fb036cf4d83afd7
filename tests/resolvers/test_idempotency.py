"""The same key, again and at once: one request, or a conflict."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from bus.events import CacheMode, Topic
from bus.fold import RequestStatus
from bus.ids import EventId, RequestId, TenantId, derived_id
from resolvers.refusal import RefusalReason, Refused
from resolvers.submission import Accepted
from tests.resolvers.test_submission import accepted, refused
from tests.resolvers.world import (
    FRESH_SECONDS,
    MEMBER,
    OTHER_TENANT,
    World,
    in_world,
    member,
    person,
    service,
)


def test_a_retry_with_the_same_key_gives_the_same_request() -> None:
    async def scenario(world: World) -> None:
        first = accepted(await world.submit(idempotency_key="k"))
        await world.clock.sleep(1.5)
        again = accepted(await world.submit(idempotency_key="k"))
        assert again.request_id == first.request_id
        assert again.status is RequestStatus.STARTED
        assert len(await world.requests()) == 1

    in_world(scenario)


def test_a_retry_that_views_behind_the_log_do_not_know_gives_the_same_request() -> None:
    async def scenario(world: World) -> None:
        first = accepted(await world.submit(idempotency_key="k"))
        world.log.late = True
        assert accepted(await world.submit(idempotency_key="k")).request_id == first.request_id
        changed = await world.submit(idempotency_key="k", deadline_seconds=119)
        refused(changed, RefusalReason.IDEMPOTENCY_CONFLICT)
        world.log.late = False
        assert len(await world.requests()) == 1

    in_world(scenario)


def test_a_retry_after_midnight_is_the_same_submission_though_it_named_no_date() -> None:
    async def scenario(world: World) -> None:
        first = accepted(await world.submit(idempotency_key="k"))
        await world.clock.sleep(20 * 3600)
        assert accepted(await world.submit(idempotency_key="k")).request_id == first.request_id

    in_world(scenario)


def test_a_retry_is_known_again_before_the_cache_is_asked() -> None:
    async def scenario(world: World) -> None:
        first = accepted(await world.submit(idempotency_key="k"))
        await world.put(1)
        assert accepted(await world.submit(idempotency_key="k")).request_id == first.request_id

    in_world(scenario)


@pytest.mark.parametrize(
    "changes",
    [
        {"subscriber": person(last_name="Reyes")},
        {"payer_id": "CIGNA"},
        {"cache_mode": CacheMode.REQUIRE_FRESH},
        {"deadline_seconds": 119},
        {"service_type_codes": ("35",)},
    ],
)
def test_the_same_key_for_another_submission_is_a_conflict(changes: dict[str, Any]) -> None:
    async def scenario(world: World) -> None:
        await world.submit(idempotency_key="k")
        refused(await world.submit(idempotency_key="k", **changes), RefusalReason.IDEMPOTENCY_CONFLICT)
        assert len(await world.requests()) == 1

    in_world(scenario)


def test_keys_belong_to_their_caller_and_tenant() -> None:
    async def scenario(world: World) -> None:
        callers = [member(), service(), member(MEMBER, OTHER_TENANT), service(OTHER_TENANT)]
        ids = {accepted(await world.submit(who, idempotency_key="k")).request_id for who in callers}
        assert len(ids) == 4

    in_world(scenario)


def test_many_concurrent_retries_make_one_request() -> None:
    async def scenario(world: World) -> None:
        results = await asyncio.gather(*(world.submit(idempotency_key="k") for _ in range(50)))
        assert len({accepted(result).request_id for result in results}) == 1
        assert len(await world.requests()) == 1

    in_world(scenario)


def test_of_concurrent_submissions_with_one_key_the_first_wins_and_the_others_conflict() -> None:
    async def scenario(world: World) -> None:
        names = [f"Name{chr(97 + n)}" for n in range(10)]
        results = await asyncio.gather(
            *(world.submit(service(), subscriber=person(last_name=name), idempotency_key="k") for name in names)
        )
        assert sum(isinstance(result, Accepted) for result in results) == 1
        conflicts = [result for result in results if isinstance(result, Refused)]
        assert {result.reason for result in conflicts} == {RefusalReason.IDEMPOTENCY_CONFLICT}
        assert len(await world.requests()) == 1

    in_world(scenario)


def test_a_key_whose_request_is_another_tenants_by_chance_is_a_conflict() -> None:
    async def scenario(world: World) -> None:
        asker = service()
        await world.submit(asker)
        (first, *_) = await world.log.read(Topic.RTE, after=0, limit=1)
        taken = derived_id("submit", asker.tenant_id, asker.subject, "k")
        await world.log.append([replace(first.event, id=EventId("x"), subject=taken, tenant_id=TenantId("other"))])
        refused(await world.submit(asker, idempotency_key="k"), RefusalReason.IDEMPOTENCY_CONFLICT)

    in_world(scenario)


def test_nobody_waits_for_certainty_about_a_request_that_is_most_likely_new() -> None:
    """Over Redis that takes a question to Kafka, and seconds while Kafka is away; the append settles races."""

    async def certain(*_: Any) -> Any:
        raise AssertionError("The view was asked for certainty.")

    async def scenario(world: World) -> None:
        world.log.get = certain  # type: ignore[method-assign, assignment]
        first = accepted(await world.submit(idempotency_key="k"))
        assert accepted(await world.submit(idempotency_key="k")).request_id == first.request_id
        await world.put(FRESH_SECONDS + 1)
        results = [await world.submit(service()) for _ in range(2)]
        assert results[0].refresh.state.request_id == results[1].refresh.state.request_id

    in_world(scenario)


def test_a_key_that_another_submission_claims_at_this_moment_is_a_conflict_and_writes_nothing() -> None:
    class Claimed:
        async def claim(self, request_id: RequestId, fingerprint: str) -> str:
            return f"another than {fingerprint} has {request_id}"

    async def scenario(world: World) -> None:
        world.use_cases.submission._claims = Claimed()
        refused(await world.submit(idempotency_key="k"), RefusalReason.IDEMPOTENCY_CONFLICT)
        assert await world.requests() == []
        accepted(await world.submit())  # without a key there is nothing to claim

    in_world(scenario)


def test_one_log_refuses_a_key_used_for_two_members_at_once_by_itself() -> None:
    async def scenario(world: World) -> None:
        answers = await asyncio.gather(
            *(world.submit(service(), idempotency_key="k", member_id=f"m-{number}") for number in range(4))
        )
        assert sum(isinstance(answer, Accepted) for answer in answers) == 1
        assert sum(isinstance(answer, Refused) for answer in answers) == 3

    in_world(scenario)
