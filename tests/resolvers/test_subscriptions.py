from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any

import pytest

from bus.errors import LogUnavailable
from bus.events import EventType
from bus.replay import Checkpoint, Delivered, Gap, GapReason, StreamItem
from delivery.caller import Caller
from resolvers.errors import Forbidden, InputInvalid, NotFound
from resolvers.progress import QueueProgress, with_progress
from scheduler.admission import QueuePlace
from tests.resolvers.world import (
    AETNA,
    CIGNA,
    MEMBER,
    OTHER_TENANT,
    World,
    caller,
    in_world,
    member,
    operator,
    person,
    service,
)
from tests.virtual_time import VirtualClock, run_virtually


def types(items: list[Any]) -> list[EventType]:
    return [item.recorded.event.type for item in items if isinstance(item, Delivered)]


async def rest(stream: AsyncGenerator[Any, None]) -> list[Any]:
    return [item async for item in stream]


# One request


@pytest.mark.parametrize("progress", [False, True])
def test_a_request_is_followed_to_its_end_and_resumed_from_any_item(progress: bool) -> None:
    async def scenario(world: World) -> None:
        state = (await world.submit()).request.state
        follow = world.use_cases.subscriptions.request
        items = await rest(await follow(member(), state.request_id, after=None, progress=progress))
        assert [type_.value for type_ in types(items)] == [
            "rte.submitted",
            "rte.enqueued",
            "rte.scheduled",
            "rte.started",
            "rte.completed",
        ]
        for seen, item in enumerate(items, start=1):
            again = await follow(member(), state.request_id, after=item.cursor, progress=progress)
            assert await rest(again) == items[seen:]
        (gap,) = await rest(await follow(member(), state.request_id, after="made up", progress=progress))
        assert isinstance(gap, Gap)
        assert gap.reason is GapReason.UNKNOWN_CURSOR

    in_world(scenario)


@pytest.mark.parametrize(
    "who",
    [
        member("m-2"),
        operator(),
        caller(),
        member(MEMBER, OTHER_TENANT),
        service(OTHER_TENANT),
    ],
)
def test_a_request_of_another_is_not_found_like_one_that_is_not_there(who: Caller) -> None:
    async def scenario(world: World) -> None:
        state = (await world.submit()).request.state
        told = set()
        for request_id in (state.request_id, "unknown"):
            with pytest.raises(NotFound) as caught:
                await world.use_cases.subscriptions.request(who, request_id, after=None, progress=False)
            told.add(str(caught.value))
        assert len(told) == 1

    in_world(scenario)


def test_every_event_is_held_against_what_the_caller_may_see() -> None:
    async def scenario(world: World) -> None:
        state = (await world.submit()).request.state
        stream = world.streams.member(state.tenant_id, state.member_id, None, lambda _: True)
        assert isinstance(await anext(stream), Checkpoint)
        await stream.aclose()
        asked = []

        class Watched(Caller, frozen=True, kw_only=True):
            def may_see_member(self, tenant_id: Any, member_id: Any) -> bool:
                asked.append(member_id)
                return len(asked) < 3  # once for the request, then for each event

        watched = Watched(
            subject="w", tenant_id=state.tenant_id, roles=frozenset(), member_id=MEMBER, expires_at=world.clock.now()
        )
        items = await rest(
            await world.use_cases.subscriptions.request(watched, state.request_id, after=None, progress=False)
        )
        assert len(items) == 1
        assert len(asked) == 6

    in_world(scenario)


# Members


@pytest.mark.parametrize(
    ("who", "whose", "error"),
    [
        (member(), None, None),
        (member(), MEMBER, None),
        (service(), MEMBER, None),
        (member(), "m-2", Forbidden),
        (operator(), None, Forbidden),
        (operator(), MEMBER, Forbidden),
        (caller(), MEMBER, Forbidden),
        (service(), None, InputInvalid),
    ],
)
def test_members_follow_themselves_and_services_the_member_they_name(
    who: Caller, whose: str | None, error: type[Exception] | None
) -> None:
    async def scenario(world: World) -> None:
        if error is not None:
            with pytest.raises(error):
                world.use_cases.subscriptions.member(who, whose, after=None)
            return
        stream = world.use_cases.subscriptions.member(who, whose, after=None)
        assert isinstance(await anext(stream), Checkpoint)
        await world.submit(service(), member_id="m-2")
        await world.submit(member(MEMBER, OTHER_TENANT))
        await world.downtime(AETNA, available=False)
        own = (await world.submit()).request.state
        got = [await anext(stream) for _ in range(3)]
        await stream.aclose()
        subjects = [item.recorded.event.subject for item in got if isinstance(item, Delivered)]
        assert sorted(subjects) == sorted([AETNA, own.request_id, own.request_id])

    in_world(scenario)


# Payers


def test_payers_are_followed_by_any_id_also_by_operators() -> None:
    async def scenario(world: World) -> None:
        await world.downtime(AETNA, available=False)
        await world.downtime(CIGNA, available=False)
        stream = world.use_cases.subscriptions.payers(operator(), ["cigna"], after=None)
        first, second = await anext(stream), await anext(stream)
        assert isinstance(first, Delivered)
        assert first.recorded.event.subject == CIGNA
        assert isinstance(second, Checkpoint)
        await stream.aclose()
        every = world.use_cases.subscriptions.payers(member(), None, after=None)
        assert len(types([await anext(every), await anext(every)])) == 2
        await every.aclose()

    in_world(scenario)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (["AETNA", "nobody"], ("payerIds", "1")),
        ([], ("payerIds",)),
        (["AETNA"] * 101, ("payerIds",)),
    ],
)
def test_payers_that_nobody_knows_are_refused(given: list[str], path: tuple[str, ...]) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(InputInvalid) as caught:
            world.use_cases.subscriptions.payers(member(), given, after=None)
        assert caught.value.problems[0].path == path

    in_world(scenario)


# Progress


def test_who_waits_is_told_how_the_queue_moves_and_no_more_often_than_every_two_seconds() -> None:
    async def scenario(world: World) -> None:
        for name in ("Ann", "Bea", "Cho", "Dee"):
            result = await world.submit(service(), subscriber=person(first_name=name), member_id=name)
        last = result.request.state
        stream = await world.use_cases.subscriptions.request(service(), last.request_id, after=None, progress=True)
        told: list[tuple[float, QueueProgress]] = []
        cursor = None
        async for item in stream:
            if isinstance(item, QueueProgress):
                assert item.cursor == cursor
                assert item.request_id == last.request_id
                told.append((world.clock.monotonic(), item))
            cursor = item.cursor
        moments = [moment for moment, _ in told]
        assert all(later - earlier >= 2 for earlier, later in pairwise(moments))
        places = [item.place for _, item in told]
        assert all(one != other for one, other in pairwise(places))
        positions = [place.queue_position for place in places]
        assert positions == sorted(positions, reverse=True)
        assert positions[-1] == 1

    in_world(scenario, slots=1)


class QuietDispatcher:
    """Says of every request what it was told to."""

    def __init__(self, place: QueuePlace | None) -> None:
        self.where = place
        self.asked = 0

    async def place(self, request_id: str) -> QueuePlace | None:
        self.asked += 1
        return self.where


async def _silent(closed: list[bool]) -> AsyncGenerator[StreamItem, None]:
    try:
        yield Checkpoint(cursor="c-1")
        await asyncio.Event().wait()
    finally:
        closed.append(True)


def _progress(items: AsyncGenerator[StreamItem, None], dispatcher: Any, clock: VirtualClock, after: str | None) -> Any:
    return with_progress(items, request_id=Any, after=after, dispatcher=dispatcher, clock=clock)  # type: ignore[arg-type] # any id


def test_a_place_that_stays_is_told_once() -> None:
    async def scenario() -> None:
        clock, dispatcher = VirtualClock(), QuietDispatcher(QueuePlace(queue_position=3, estimated_wait_seconds=None))
        closed: list[bool] = []
        stream = _progress(_silent(closed), dispatcher, clock, None)
        assert isinstance(await anext(stream), Checkpoint)
        first = await anext(stream)
        assert (first.cursor, first.place) == ("c-1", dispatcher.where)
        waiting = asyncio.create_task(anext(stream))
        await clock.sleep(60)
        assert not waiting.done()
        assert dispatcher.asked > 25
        dispatcher.where = QueuePlace(queue_position=2, estimated_wait_seconds=4.0)
        assert (await waiting).place == dispatcher.where
        await stream.aclose()
        assert closed == [True]
        assert len(asyncio.all_tasks()) == 1

    run_virtually(scenario())


def test_a_resumed_wait_is_told_its_place_under_the_cursor_it_was_resumed_from() -> None:
    async def nothing() -> AsyncGenerator[StreamItem, None]:
        await asyncio.Event().wait()
        yield Checkpoint(cursor="never")

    async def scenario() -> None:
        clock, dispatcher = VirtualClock(), QuietDispatcher(QueuePlace(queue_position=3, estimated_wait_seconds=None))
        stream = _progress(nothing(), dispatcher, clock, "c-0")
        assert (await anext(stream)).cursor == "c-0"
        await stream.aclose()
        fresh = _progress(nothing(), dispatcher, clock, None)
        waiting = asyncio.create_task(anext(fresh))
        await clock.sleep(10)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait({waiting})
        assert len(asyncio.all_tasks()) == 1

    run_virtually(scenario())


def test_a_log_that_goes_away_ends_the_stream_with_its_error() -> None:
    async def broken() -> AsyncGenerator[StreamItem, None]:
        yield Checkpoint(cursor="c-1")
        raise LogUnavailable("gone")

    async def scenario() -> None:
        stream = _progress(broken(), QuietDispatcher(None), VirtualClock(), None)
        await anext(stream)
        with pytest.raises(LogUnavailable):
            await anext(stream)
        assert len(asyncio.all_tasks()) == 1

    run_virtually(scenario())
