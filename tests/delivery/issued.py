"""Tokens as an issuer would sign them, of the doors' tests."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bus.ids import MemberId, TenantId
from delivery.caller import Role
from delivery.development_key import DevelopmentKey, sign_development_token
from tests.delivery.manual_clock import NOW

TENANT: Final = TenantId("acme")
KEY: Final = DevelopmentKey(Ed25519PrivateKey.generate())


def sign(**changes: object) -> str:
    """A member's token for an hour; a claim given as None is left out."""
    issued = int(NOW.timestamp())
    claims: dict[str, object] = {
        "sub": "m-1",
        "tid": TENANT,
        "mid": "m-1",
        "roles": ["member"],
        "aud": "covey",
        "iat": issued,
        "exp": issued + 3600,
    }
    claims |= changes
    return KEY.sign({name: value for name, value in claims.items() if value is not None})


def member_token(member: str = "m-1", ttl_seconds: int = 3600) -> str:
    return sign_development_token(
        KEY,
        tenant_id=TENANT,
        roles=[Role.MEMBER],
        member_id=MemberId(member),
        ttl_seconds=ttl_seconds,
        now=NOW,
        token_id=f"t-{member}",
    )


def service_token(subject: str = "batch") -> str:
    return sign(sub=subject, roles=["service"], mid=None)


def operator_token() -> str:
    return sign_development_token(
        KEY, tenant_id=TENANT, roles=[Role.OPERATOR], member_id=None, ttl_seconds=60, now=NOW, token_id="t-op"
    )
