from __future__ import annotations

from typing import Any

import pytest

from bus.events import Topic
from bus.fold import RequestStatus
from delivery.caller import Caller, Role
from delivery.errors import ConnectTokenRefused
from resolvers.answers import CoverageSource, RequestAnswer
from resolvers.cancellation import Cancelled
from resolvers.errors import Forbidden, InputInvalid
from resolvers.pages import Page
from resolvers.refusal import RefusalReason, Refused
from tests.resolvers.world import (
    AETNA,
    MEMBER,
    OTHER_TENANT,
    STALE_SECONDS,
    TENANT,
    World,
    caller,
    first_event,
    in_world,
    member,
    operator,
    person,
    question,
    service,
)

BOTH = caller(Role.OPERATOR, Role.MEMBER, member_id=MEMBER)
SEES: list[tuple[Caller, bool]] = [
    (member(), True),
    (BOTH, True),
    (service(), True),
    (member("m-2"), False),
    (operator(), False),
    (caller(), False),
    (member(MEMBER, OTHER_TENANT), False),
    (service(OTHER_TENANT), False),
]


# One request


@pytest.mark.parametrize(("who", "sees"), SEES)
def test_a_request_is_null_to_who_may_not_see_it(who: Caller, sees: bool) -> None:
    async def scenario(world: World) -> None:
        state = (await world.submit()).request.state
        answer = await world.use_cases.requests.get(who, state.request_id)
        assert (answer is not None) is sees
        assert await world.use_cases.requests.get(who, "unknown") is None

    in_world(scenario)


def test_a_waiting_request_is_shown_where_it_stands_now() -> None:
    async def scenario(world: World) -> None:
        for name in ("Ann", "Bea", "Cho"):
            result = await world.submit(service(), subscriber=person(first_name=name), member_id=name)
        last = result.request.state
        assert last.queue_position == 2
        await world.clock.sleep(3.5)
        present = await world.use_cases.requests.get(service(), last.request_id)
        assert present is not None
        assert present.state.queue_position == 1
        await world.clock.sleep(60)
        done = await world.use_cases.requests.get(service(), last.request_id)
        assert done is not None
        assert done.state.status is RequestStatus.COMPLETED
        assert done.coverage is not None
        assert done.coverage.source is CoverageSource.PAYER
        assert done.coverage.age_seconds > 40

    in_world(scenario, slots=1)


# Listings


@pytest.mark.parametrize(
    ("who", "whose", "sees"),
    [
        (member(), None, {"m-1"}),
        (member(), "m-1", {"m-1"}),
        (member(), "m-2", None),
        (BOTH, None, {"m-1"}),
        (service(), None, {"m-1", "m-2"}),
        (service(), "m-2", {"m-2"}),
        (operator(), None, None),
        (operator(), "m-1", None),
        (member(MEMBER, OTHER_TENANT), None, set()),
        (service(OTHER_TENANT), None, {"m-3"}),
        (service(OTHER_TENANT), "m-1", set()),
    ],
)
def test_members_list_their_own_and_services_their_tenants(
    who: Caller, whose: str | None, sees: set[str] | None
) -> None:
    async def scenario(world: World) -> None:
        for tenant, member_id in ((TENANT, "m-1"), (TENANT, "m-2"), (OTHER_TENANT, "m-3")):
            await world.submit(service(tenant), member_id=member_id)
        page = world.use_cases.requests.page(who, member_id=whose, statuses=(), first=20, after=None)
        if sees is None:
            with pytest.raises(Forbidden):
                await page
        else:
            assert {entry.node.state.member_id for entry in (await page).entries} == sees

    in_world(scenario)


def test_pages_join_without_a_gap_or_a_repeat_newest_first() -> None:
    async def scenario(world: World) -> None:
        for number in range(7):
            await world.submit(service(), member_id=f"m-{number}")
        seen: list[str] = []
        pages: list[Page[RequestAnswer]] = []
        after = None
        while not pages or pages[-1].has_next:
            page = await world.use_cases.requests.page(service(), member_id=None, statuses=(), first=3, after=after)
            seen += [entry.node.state.member_id for entry in page.entries]
            after = page.entries[-1].cursor
            pages.append(page)
        assert seen == [f"m-{number}" for number in reversed(range(7))]
        assert [page.has_previous for page in pages] == [False, True, True]

    in_world(scenario)


def test_a_listing_can_be_of_some_statuses() -> None:
    async def scenario(world: World) -> None:
        await world.submit()
        await world.clock.sleep(10)
        await world.submit(subscriber=person(first_name="Bea"))
        for status, count in ((RequestStatus.COMPLETED, 1), (RequestStatus.FAILED, 0)):
            page = await world.use_cases.requests.page(
                member(), member_id=None, statuses=[status], first=20, after=None
            )
            assert len(page.entries) == count

    in_world(scenario)


@pytest.mark.parametrize("first", [0, -1, 101])
def test_a_page_has_one_to_a_hundred(first: int) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(InputInvalid) as caught:
            await world.use_cases.requests.page(member(), member_id=None, statuses=(), first=first, after=None)
        assert caught.value.problems[0].path == ("first",)
        with pytest.raises(InputInvalid):
            world.use_cases.payers.page(member(), search=None, first=first, after=None)

    in_world(scenario)


def test_a_page_cursor_is_of_use_to_nobody_else_and_for_nothing_else() -> None:
    async def scenario(world: World) -> None:
        await world.submit(service())
        page = await world.use_cases.requests.page(service(), member_id=None, statuses=(), first=1, after=None)
        mine = page.entries[0].cursor
        state = page.entries[0].node.state
        others: list[tuple[Caller, str | None, str]] = [
            (service(OTHER_TENANT), None, mine),
            (service(), "m-1", mine),
            (member(), None, mine),
            (service(), None, world.streams.request_cursor(state)),
            (service(), None, "made up"),
            (service(), None, ""),
            (service(), None, mine[:-1] + ("A" if mine[-1] != "A" else "B")),
        ]
        for who, whose, cursor in others:
            with pytest.raises(InputInvalid) as caught:
                await world.use_cases.requests.page(who, member_id=whose, statuses=(), first=1, after=cursor)
            assert caught.value.problems[0].path == ("after",)

    in_world(scenario)


# Payers


def test_payers_are_found_by_any_id_and_listed_in_pages() -> None:
    async def scenario(world: World) -> None:
        payers = world.use_cases.payers
        found = payers.get("abc12")
        assert found is not None
        assert found.id == AETNA
        assert payers.get("nobody") is None
        first = payers.page(member(), search=None, first=2, after=None)
        assert [entry.node.name for entry in first.entries] == ["Aetna", "Cigna"]
        assert first.has_next
        rest = payers.page(member(), search=None, first=2, after=first.entries[-1].cursor)
        assert [entry.node.name for entry in rest.entries] == ["UnitedHealthcare"]
        assert (rest.has_next, rest.has_previous) == (False, True)
        assert [entry.node.name for entry in payers.page(member(), search="uhc", first=2, after=None).entries] == [
            "UnitedHealthcare"
        ]
        with pytest.raises(InputInvalid):
            payers.page(member(), search="other", first=2, after=first.entries[-1].cursor)

    in_world(scenario)


# The cache


@pytest.mark.parametrize("age_seconds", [0.0, 60.0, STALE_SECONDS * 3])
def test_the_cache_is_told_as_it_is_and_no_payer_is_called(age_seconds: float) -> None:
    async def scenario(world: World) -> None:
        await world.put(age_seconds)
        answer = await world.use_cases.cached_coverage.coverage(member(), question())
        assert answer is not None
        assert (answer.age_seconds, answer.source) == (age_seconds, CoverageSource.CACHE)
        nothing = await world.use_cases.cached_coverage.coverage(member(), question(service_type_codes=("35",)))
        assert nothing is None
        assert world.scheduler.payer.calls == []

    in_world(scenario)


def test_an_answer_of_a_clock_that_was_ahead_is_no_younger_than_new() -> None:
    async def scenario(world: World) -> None:
        await world.put(-30)
        answer = await world.use_cases.cached_coverage.coverage(member(), question())
        assert answer is not None
        assert answer.age_seconds == 0

    in_world(scenario)


@pytest.mark.parametrize("who", [member("m-2"), operator(), caller()])
def test_the_cache_is_told_to_who_may_see_the_member_only(who: Caller) -> None:
    async def scenario(world: World) -> None:
        await world.put(1)
        with pytest.raises(Forbidden):
            await world.use_cases.cached_coverage.coverage(who, question())
        assert await world.use_cases.cached_coverage.coverage(service(OTHER_TENANT), question()) is None

    in_world(scenario)


# Giving up


def test_a_cancelled_request_ends_at_once() -> None:
    async def scenario(world: World) -> None:
        state = (await world.submit()).request.state
        result = await world.use_cases.cancellation.cancel(member(), state.request_id)
        assert isinstance(result, Cancelled)
        assert result.request.state.status is RequestStatus.CANCELLED
        again = await world.use_cases.cancellation.cancel(member(), state.request_id)
        assert isinstance(again, Refused)
        assert again.reason is RefusalReason.ALREADY_FINISHED

    in_world(scenario)


@pytest.mark.parametrize(("who", "sees"), SEES)
def test_who_may_not_see_a_request_cannot_cancel_it_and_does_not_learn_of_it(who: Caller, sees: bool) -> None:
    async def scenario(world: World) -> None:
        state = (await world.submit()).request.state
        result: Any = await world.use_cases.cancellation.cancel(who, state.request_id)
        assert isinstance(result, Cancelled) is sees
        if not sees:
            assert result == await world.use_cases.cancellation.cancel(who, "unknown")
            assert result.reason is RefusalReason.NOT_FOUND

    in_world(scenario)


def test_cancelling_while_the_log_is_away_changes_nothing() -> None:
    async def scenario(world: World) -> None:
        state = (await world.submit()).request.state
        world.log.away = True
        result: Any = await world.use_cases.cancellation.cancel(member(), state.request_id)
        assert result.reason is RefusalReason.LOG_UNAVAILABLE
        world.log.away = False
        await world.clock.sleep(30)
        assert (await world.requests())[0].status is RequestStatus.COMPLETED

    in_world(scenario)


# Operators, and sockets


def test_operators_see_the_scheduler_and_of_tenants_their_own_only() -> None:
    async def scenario(world: World) -> None:
        await world.submit(service())
        await world.submit(service(OTHER_TENANT))
        await world.clock.sleep(1)
        status = await world.use_cases.operations.scheduler(operator())
        assert (status.slots, status.held) == (15, 2)
        assert [tenant.tenant_id for tenant in status.tenants] == [TENANT]
        for who in (member(), service(), caller()):
            with pytest.raises(Forbidden):
                await world.use_cases.operations.scheduler(who)

    in_world(scenario)


def test_members_get_a_connect_token_and_who_came_by_one_does_not() -> None:
    async def scenario(world: World) -> None:
        issued = world.use_cases.websocket_info.issue(member())
        assert issued.url == "ws://covey.test/graphql"
        for who in (member(connect_only=True), service(), operator()):
            with pytest.raises(ConnectTokenRefused):
                world.use_cases.websocket_info.issue(who)

    in_world(scenario)


def test_a_request_of_another_writer_is_shown_like_ones_own() -> None:
    async def scenario(world: World) -> None:
        await world.log.append([first_event("foreign", question(), world.clock.now())])
        answer = await world.use_cases.requests.get(member(), "foreign")
        assert answer is not None
        assert answer.state.status is RequestStatus.SUBMITTED
        assert await world.log.end(Topic.RTE) == 1

    in_world(scenario)
