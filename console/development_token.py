"""Tokens for whoever has the data folder of a server in development."""

from __future__ import annotations

from bus.clock import SystemClock
from bus.ids import MemberId, TenantId, random_id
from console.errors import UsedWrongly
from delivery.caller import Role
from delivery.development_key import DevelopmentKey, sign_development_token
from settings import Settings


def mint(settings: Settings, *, tenant: str, member: str | None, role: Role, seconds: int) -> str:
    """A token good for `seconds`. Raises UsedWrongly in production, KeyUnusable."""
    if not settings.development:
        raise UsedWrongly("Covey makes tokens in development only; in production the issuer of COVEY_JWT_* does.")
    return sign_development_token(
        DevelopmentKey.in_folder(settings.data),
        tenant_id=TenantId(tenant),
        roles=[role],
        member_id=None if member is None else MemberId(member),
        ttl_seconds=seconds,
        now=SystemClock().now(),
        token_id=random_id(),
    )
