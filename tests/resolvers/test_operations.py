"""What operators may see and end, and that nobody else may."""

from __future__ import annotations

import pytest

from bus.ids import MemberId
from delivery.revocation import member_name, tenant_name, token_name
from resolvers.errors import Forbidden, InputInvalid
from tests.resolvers.world import MEMBER, OTHER_TENANT, TENANT, World, in_world, member, operator, service


def test_only_operators_see_connections_and_revoke() -> None:
    async def scenario(world: World) -> None:
        for who in (member(), service()):
            with pytest.raises(Forbidden):
                await world.use_cases.operations.connections(who)
            with pytest.raises(Forbidden):
                await world.use_cases.operations.revoke(who, member_id=MEMBER, token_id=None, everybody=False)

    in_world(scenario)


@pytest.mark.parametrize(
    ("member_id", "token_id", "everybody"),
    [(None, None, False), (MEMBER, "t", False), (MEMBER, None, True), ("", None, False), (None, "t" * 257, False)],
)
def test_whose_tokens_is_said_once(member_id: str | None, token_id: str | None, everybody: bool) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(InputInvalid):
            await world.use_cases.operations.revoke(
                operator(), member_id=member_id, token_id=token_id, everybody=everybody
            )

    in_world(scenario)


def test_a_revocation_reaches_nobody_outside_the_operators_tenant() -> None:
    assert member_name(TENANT, MemberId(MEMBER)) != member_name(OTHER_TENANT, MemberId(MEMBER))
    assert token_name(TENANT, "t-1") != token_name(OTHER_TENANT, "t-1")
    assert tenant_name(TENANT) != tenant_name(OTHER_TENANT)

    async def scenario(world: World) -> None:
        operations = world.use_cases.operations
        await operations.revoke(operator(), member_id=None, token_id=None, everybody=True)
        assert operations._revocations.holds(member())
        assert not operations._revocations.holds(member(tenant=OTHER_TENANT))

    in_world(scenario)
