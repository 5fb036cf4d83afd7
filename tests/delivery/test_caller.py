"""What a caller may see."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bus.ids import MemberId, TenantId
from delivery.caller import Caller, Role
from tests.delivery.manual_clock import NOW


@pytest.mark.parametrize(
    ("roles", "tenant", "member", "may"),
    [
        ({Role.MEMBER}, "acme", "m-1", True),
        ({Role.MEMBER}, "acme", "m-2", False),
        ({Role.MEMBER}, "other", "m-1", False),
        ({Role.SERVICE}, "acme", "m-2", True),
        ({Role.SERVICE}, "other", "m-2", False),
        ({Role.OPERATOR}, "acme", "m-1", False),
        ({Role.OPERATOR, Role.MEMBER}, "acme", "m-1", True),
    ],
)
def test_members_see_their_own_services_their_tenants_and_operators_none(
    roles: set[Role], tenant: str, member: str, may: bool
) -> None:
    caller = Caller(
        subject="s",
        tenant_id=TenantId("acme"),
        roles=frozenset(roles),
        member_id=MemberId("m-1"),
        expires_at=NOW + timedelta(hours=1),
    )
    assert caller.may_see_member(TenantId(tenant), MemberId(member)) is may
    assert caller.is_operator is (Role.OPERATOR in roles)
