"""Tokens for whoever has the data folder of a server in development."""

from __future__ import annotations

import os
from typing import Final

from bus.clock import SystemClock
from bus.ids import MemberId, TenantId, random_id
from console.errors import UsedWrongly
from console.running import given_settings
from delivery.caller import Role
from delivery.development_key import KEY_FILE, DevelopmentKey, sign_development_token
from setting_kinds import Mode
from settings import PREFIX, Settings

_NAME_LENGTH: Final = 256
"""As servers hold claims to it."""


def settings_with_key() -> Settings:
    """The settings of this process, to make a token with. Raises UsedWrongly in production, whatever else is set.

    The mode is looked at by itself: what a server lacks in production is not what whoever wants a token has to mend.
    """
    if os.environ.get(f"{PREFIX}MODE") == Mode.PRODUCTION:
        raise UsedWrongly(
            "Covey makes tokens in development only. In production your issuer signs them (docs/running.md); a command "
            "that asks a server takes one with --token."
        )
    return given_settings()


def mint(settings: Settings, *, tenant: str, member: str | None, role: Role, seconds: int) -> str:
    """A token good for `seconds`. Raises UsedWrongly where no server has made a key, KeyUnusable.

    A key made here would be one that no server knows.
    """
    if not all(1 <= len(name) <= _NAME_LENGTH for name in (tenant, tenant if member is None else member)):
        raise UsedWrongly(f"--tenant and --member: 1 to {_NAME_LENGTH} characters are allowed.")
    if not (settings.data / KEY_FILE).exists():
        raise UsedWrongly(
            f"There is no development key in {settings.data.absolute()}/. Set COVEY_DATA to the data folder of the "
            "server, or give --token to the command that asks it. (A server makes the key at its first start.)"
        )
    return sign_development_token(
        DevelopmentKey.in_folder(settings.data),
        tenant_id=TenantId(tenant),
        roles=[role],
        member_id=None if member is None else MemberId(member),
        ttl_seconds=seconds,
        now=SystemClock().now(),
        token_id=random_id(),
    )
