from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bus.errors import StateUnavailable
from bus.events import CacheMode, Priority
from bus.fold import RequestStatus
from bus.ids import MemberId
from delivery.caller import Caller, Role
from resolvers.refusal import Invalid, RefusalReason, Refused
from resolvers.submission import Accepted
from tests.resolvers.world import (
    AETNA,
    FRESH_SECONDS,
    MEMBER,
    OTHER_TENANT,
    PEOPLE_PER_DAY,
    STALE_SECONDS,
    TENANT,
    World,
    caller,
    in_world,
    member,
    operator,
    person,
    question,
    service,
)


def refused(result: Any, reason: RefusalReason) -> Refused:
    assert isinstance(result, Refused)
    assert result.reason is reason
    return result


def accepted(result: Any) -> Any:
    assert isinstance(result, Accepted)
    return result.request.state


def test_a_submission_is_durable_and_queued_before_it_is_answered() -> None:
    async def scenario(world: World) -> None:
        result = await world.submit(deadline_seconds=60)
        state = accepted(result)
        assert state.status is RequestStatus.ENQUEUED
        assert state.queue_position == 1
        assert state.payer_id == AETNA
        assert state.deadline == world.clock.now() + timedelta(seconds=60)
        assert result.request.cursor == world.streams.request_cursor(state)
        assert [recorded.event.sequence for recorded in await world.log.read_request(state.request_id)][:2] == [1, 2]
        assert world.submits() == {"accepted": 1}
        await world.clock.sleep(10)
        assert await world.scheduler.status(state) is RequestStatus.COMPLETED

    in_world(scenario)


def test_a_caller_that_goes_away_does_not_keep_its_request_from_being_queued() -> None:
    async def scenario(world: World) -> None:
        hold = asyncio.Event()
        append = world.log.append

        async def held_append(events: Any, *, ids_are_new: bool = False) -> Any:
            await hold.wait()
            return await append(events, ids_are_new=ids_are_new)

        world.log.append = held_append  # type: ignore[method-assign]
        asking = asyncio.create_task(world.submit())
        await world.clock.sleep(1)
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
        hold.set()
        await world.use_cases.acceptance.close()
        (state,) = await world.requests()
        assert state.status is RequestStatus.STARTED

    in_world(scenario)


def test_the_log_is_promised_that_an_id_is_new_unless_it_is_derived_from_a_key() -> None:
    async def scenario(world: World) -> None:
        append = world.log.append
        promised: list[bool] = []

        async def noting_append(events: Any, *, ids_are_new: bool = False) -> Any:
            if events[0].sequence == 1:
                promised.append(ids_are_new)
            return await append(events, ids_are_new=ids_are_new)

        world.log.append = noting_append  # type: ignore[method-assign]
        await world.submit()
        await world.submit(idempotency_key="key")
        assert promised == [True, False]

    in_world(scenario)


# Who may


@pytest.mark.parametrize(
    ("who", "whose", "allowed"),
    [
        (member(), MEMBER, True),
        (member(connect_only=True), MEMBER, True),
        (member("m-2"), MEMBER, False),
        (member(MEMBER, OTHER_TENANT), MEMBER, True),  # another tenant's member of the same name, about themselves
        (service(), MEMBER, True),
        (service(), "m-2", True),
        (operator(), MEMBER, False),
        (caller(Role.OPERATOR, Role.MEMBER, member_id=MEMBER), MEMBER, True),
        (caller(Role.OPERATOR, Role.SERVICE), MEMBER, True),
        (caller(), MEMBER, False),
    ],
)
def test_members_ask_about_themselves_and_services_about_their_tenants_members(
    who: Caller, whose: str, allowed: bool
) -> None:
    async def scenario(world: World) -> None:
        result = await world.submit(who, member_id=MemberId(whose))
        if allowed:
            state = accepted(result)
            assert (state.tenant_id, state.member_id) == (who.tenant_id, whose)
        else:
            refused(result, RefusalReason.FORBIDDEN)
            assert await world.requests() == []
            assert world.submits() == {"refused": 1}

    in_world(scenario)


@pytest.mark.parametrize("priority", list(Priority))
def test_members_have_priority_interactive_only_and_services_any(priority: Priority) -> None:
    async def scenario(world: World) -> None:
        assert accepted(await world.submit(service(), priority=priority)).priority is priority
        result = await world.submit(priority=priority)
        if priority is Priority.INTERACTIVE:
            accepted(result)
        else:
            refused(result, RefusalReason.FORBIDDEN)

    in_world(scenario)


# What may be wrong


def test_every_mistake_is_told_and_nothing_is_recorded() -> None:
    async def scenario(world: World) -> None:
        result = await world.submit(
            subscriber=person(first_name="", last_name="a*b"), payer_id="nobody", deadline_seconds=0
        )
        assert isinstance(result, Invalid)
        assert [problem.path[-1] for problem in result.problems] == ["firstName", "lastName", "deadlineSeconds"]
        assert await world.requests() == []
        assert world.submits() == {"invalid": 1}

    in_world(scenario)


def test_an_unknown_payer_is_refused_with_the_nearest_names_and_is_not_repeated() -> None:
    async def scenario(world: World) -> None:
        told = refused(await world.submit(payer_id="Aetnna"), RefusalReason.PAYER_UNKNOWN)
        assert "Aetna (60054)" in told.message
        assert "Aetnna" not in told.message
        told = refused(await world.submit(payer_id="zzzzqqqq"), RefusalReason.PAYER_UNKNOWN)
        assert told.message == "No payer goes by this id. Look it up: `payers(search:)`."

    in_world(scenario)


def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    async def scenario(world: World) -> None:
        world.fill_queue()
        told = refused(await world.submit(), RefusalReason.QUEUE_FULL)
        assert told.retry_after_seconds == 7
        assert await world.requests() == []

    in_world(scenario)


def test_a_log_that_is_away_refuses_and_names_no_file() -> None:
    async def scenario(world: World) -> None:
        world.log.away = True
        for key in (None, "k"):
            told = refused(await world.submit(idempotency_key=key), RefusalReason.LOG_UNAVAILABLE)
            assert told.retry_after_seconds is not None
            assert "covey.db" not in told.message
        world.log.away = False
        assert await world.requests() == []

    in_world(scenario)


# Idempotency


@pytest.mark.parametrize("key", [None, "k"])
def test_without_the_view_of_requests_members_are_served_all_the_same(key: str | None) -> None:
    async def away(*_: Any) -> Any:
        raise StateUnavailable("Redis is away.")

    async def scenario(world: World) -> None:
        world.log.states = away  # type: ignore[method-assign, assignment] # as with views in Redis
        world.log.people_asked_about = away  # type: ignore[method-assign, assignment] # the same
        assert isinstance(await world.submit(idempotency_key=key), Accepted)

    in_world(scenario)


# How many people


def _about(number: int) -> dict[str, Any]:
    return {"subscriber": person(first_name=f"P{chr(97 + number)}")}


def test_a_member_asks_about_few_people_a_day_and_a_service_about_any() -> None:
    async def scenario(world: World) -> None:
        for number in range(PEOPLE_PER_DAY):
            accepted(await world.submit(**_about(number)))
        told = refused(await world.submit(**_about(99)), RefusalReason.RATE_LIMITED)
        assert told.retry_after_seconds == 12 * 3600 + 1  # the tests' day began twelve hours ago
        accepted(await world.submit(**_about(0), cache_mode=CacheMode.REQUIRE_FRESH))
        accepted(await world.submit(service(), **_about(98)))
        accepted(await world.submit(member(MEMBER, OTHER_TENANT), **_about(97)))
        await world.clock.sleep(12 * 3600)
        accepted(await world.submit(**_about(99)))

    in_world(scenario)


def test_what_a_service_asks_takes_nothing_from_the_members_own_limit() -> None:
    async def scenario(world: World) -> None:
        await asyncio.gather(*(world.submit(service(), **_about(number)) for number in range(20)))
        for number in range(20, 20 + PEOPLE_PER_DAY):
            accepted(await world.submit(**_about(number)))
        refused(await world.submit(**_about(0)), RefusalReason.RATE_LIMITED)  # nor does it open a way past it
        refused(await world.submit(member(connect_only=True), **_about(99)), RefusalReason.RATE_LIMITED)

    in_world(scenario)


def test_asking_about_many_at_once_gets_nobody_past_the_limit() -> None:
    async def scenario(world: World) -> None:
        results = await asyncio.gather(*(world.submit(**_about(number)) for number in range(20)))
        assert sum(isinstance(result, Accepted) for result in results) <= PEOPLE_PER_DAY
        assert len(await world.requests()) <= PEOPLE_PER_DAY
        for number in range(PEOPLE_PER_DAY):  # and what was refused is not held against anybody
            await world.submit(**_about(number))
        assert len({state.question.person_key(TENANT) for state in await world.requests()}) == PEOPLE_PER_DAY

    in_world(scenario)


# The cache (bar 23)

_AGES = {"fresh": 60.0, "stale": FRESH_SECONDS + 60, "too old": STALE_SECONDS + 60, "absent": None}
_EXPECTED = {
    (CacheMode.DEFAULT, "fresh"): "answer",
    (CacheMode.DEFAULT, "stale"): "answer and refresh",
    (CacheMode.PREFER_CACHE, "fresh"): "answer",
    (CacheMode.PREFER_CACHE, "stale"): "answer",
}


def test_the_question_is_recorded_with_every_default_filled_in() -> None:
    async def scenario(world: World) -> None:
        given = question(service_type_codes=("35", "30", "35"), subscriber=person(first_name="  Ana  Maria "))
        state = accepted(await world.submit(service_type_codes=given.service_type_codes, subscriber=given.subscriber))
        assert state.question.service_type_codes == ("30", "35")
        assert state.question.subscriber.first_name == "Ana Maria"
        assert state.question.provider.npi == "1999999984"
        assert state.question.date_of_service == world.clock.now().date()

    in_world(scenario)
