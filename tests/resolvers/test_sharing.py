"""Streams are shared by those who may see the same of them, and by nobody else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from bus.replay import Delivered, StreamItem
from delivery.caller import Caller, Role
from tests.resolvers.world import AETNA, MEMBER, OTHER_TENANT, World, caller, in_world, member, operator, service


async def _next_event(stream: AsyncGenerator[StreamItem, None]) -> Delivered:
    async for item in stream:
        if isinstance(item, Delivered):
            return item
    raise AssertionError("The stream ended.")


async def _both(world: World, first: Caller, second: Caller) -> tuple[Any, Any]:
    """The next event of the member's stream as two callers are given it."""
    streams = [world.use_cases.subscriptions.member(who, MEMBER, after=None) for who in (first, second)]
    for stream in streams:
        await anext(stream)
    await world.submit()
    got = [await _next_event(stream) for stream in streams]
    for stream in streams:
        await stream.aclose()
    return got[0], got[1]


def test_two_tokens_with_the_same_rights_share() -> None:
    async def scenario(world: World) -> None:
        first, second = await _both(world, member(), member(connect_only=True))
        assert first is second

    in_world(scenario)


@pytest.mark.parametrize(
    "other", [service(), caller(Role.SERVICE, Role.OPERATOR), caller(Role.MEMBER, Role.OPERATOR, member_id=MEMBER)]
)
def test_other_rights_over_the_same_member_are_a_stream_of_their_own(other: Caller) -> None:
    async def scenario(world: World) -> None:
        first, second = await _both(world, member(), other)
        assert first == second
        assert first is not second
        assert first.encodings is second.encodings is None

    in_world(scenario)


def test_the_same_member_id_in_another_tenant_is_given_nothing_of_it() -> None:
    async def scenario(world: World) -> None:
        own = world.use_cases.subscriptions.member(member(), None, after=None)
        foreign = world.use_cases.subscriptions.member(member(MEMBER, OTHER_TENANT), None, after=None)
        for stream in (own, foreign):
            await anext(stream)
        await world.submit()
        await _next_event(own)
        await world.submit(member(MEMBER, OTHER_TENANT))
        event = (await _next_event(foreign)).recorded.event
        assert event.tenant_id == OTHER_TENANT
        await own.aclose()
        await foreign.aclose()

    in_world(scenario)


def test_payers_of_an_operator_and_a_member_are_two_streams() -> None:
    async def scenario(world: World) -> None:
        streams = [world.use_cases.subscriptions.payers(who, None, after=None) for who in (member(), operator())]
        for stream in streams:
            await anext(stream)
        await world.downtime(AETNA, available=False)
        first, second = [await _next_event(stream) for stream in streams]
        assert first is not second
        for stream in streams:
            await stream.aclose()

    in_world(scenario)
