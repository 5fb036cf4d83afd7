"""Connect tokens: what `websocketSubscribeInfo` gives out to open a socket with, for minutes, and nothing else."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Final

import jwt
from msgspec import Struct

from bus.clock import Clock
from bus.ids import NewId
from delivery.caller import Caller, Role
from delivery.claims import AUDIENCE, CONNECT_USE
from delivery.errors import ConnectTokenRefused

CONNECT_KEY_ID: Final = "covey-connect"
CONNECT_ALGORITHM: Final = "HS256"
_PURPOSE: Final = b"covey connect token 1"


class ConnectToken(Struct, frozen=True, kw_only=True):
    """A token, where to use it, and until when."""

    url: str
    token: str
    expires_at: datetime


class ConnectTokens:
    """Signs with a key derived from the one that all instances share, so that any of them knows the token."""

    def __init__(self, *, shared_key: bytes, url: str, ttl_seconds: int, clock: Clock, new_id: NewId) -> None:
        self.key: Final = hmac.digest(shared_key, _PURPOSE, "sha256")
        """Derived for this purpose alone: what else the shared key signs is never a token."""
        self._url = url
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._new_id = new_id

    def issue(self, caller: Caller) -> ConnectToken:
        """A token for this member, minutes long and never beyond the caller's own end. Raises ConnectTokenRefused.

        It carries the role of a member only, whatever else its caller is.
        """
        if caller.connect_only:
            raise ConnectTokenRefused("A connect token opens sockets only: fetch another with the member's own token.")
        if Role.MEMBER not in caller.roles or caller.member_id is None:
            raise ConnectTokenRefused("Connect tokens are for members.")
        now = int(self._clock.now().timestamp())
        session_ends = int(caller.expires_at.timestamp())
        expires = min(now + self._ttl_seconds, session_ends)
        claims: dict[str, object] = {
            "sub": caller.subject,
            "tid": caller.tenant_id,
            "roles": [Role.MEMBER],
            "mid": caller.member_id,
            "aud": AUDIENCE,
            "iat": now,
            "exp": expires,
            "jti": self._new_id(),
            "use": CONNECT_USE,
            "sexp": session_ends,
        }
        if caller.token_id is not None:
            claims["sjti"] = caller.token_id
        if caller.issued_at is not None:
            claims["siat"] = int(caller.issued_at.timestamp())
        token = jwt.encode(claims, self.key, algorithm=CONNECT_ALGORITHM, headers={"kid": CONNECT_KEY_ID})
        return ConnectToken(url=self._url, token=token, expires_at=datetime.fromtimestamp(expires, UTC))
