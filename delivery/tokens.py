"""Who a token proves its bearer to be."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any, Final

import jwt
from jwt.api_jws import PyJWS
from msgspec import Struct

from bus.clock import Clock
from delivery.caller import Caller
from delivery.claims import Claims, read_claims
from delivery.connect_tokens import CONNECT_ALGORITHM, CONNECT_KEY_ID, ConnectTokens
from delivery.errors import TokenRefused
from delivery.keys import KeySource

_LENGTH: Final = 8192
"""Characters; an honest token has under 2,000."""
_REMEMBERED: Final = 10_000
_REMEMBERED_SECONDS: Final = 300.0
"""A key that its issuer withdrew is not honoured longer than this for a token already seen."""


class Door(Enum):
    """What a caller came in by."""

    HTTP = "http"
    SOCKET = "socket"


class _Verified(Struct, frozen=True):
    caller: Caller
    until: float
    """On the wall clock."""


class TokenVerifier:
    """Checks signatures and claims, and remembers tokens it has checked (by their hash): a check costs 100 us."""

    def __init__(
        self,
        *,
        keys: KeySource,
        connect_tokens: ConnectTokens,
        clock: Clock,
        revoked: Callable[[Caller], bool] = lambda _: False,
    ) -> None:
        self._keys = keys
        self._revoked = revoked
        self._connect_key = connect_tokens.key
        self._clock = clock
        self._jws = PyJWS()
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def verify(self, token: str, door: Door) -> Caller:
        """Who calls. Raises TokenRefused (also for a connect token at any door but the socket's), KeysUnavailable."""
        if len(token) > _LENGTH or not token.isascii():
            raise TokenRefused("The token is not a JWT.")
        digest = _digest(token)
        now = self._clock.now()
        verified = self._remembered(digest, now)
        if verified is None:
            claims = await self._read(token)
            caller = claims.caller(now)
            until = min(claims.exp, caller.expires_at.timestamp(), now.timestamp() + _REMEMBERED_SECONDS)
            verified = _Verified(caller, until)
            self._remember(digest, verified)
        if verified.caller.connect_only and door is not Door.SOCKET:
            raise TokenRefused("A connect token opens sockets only.")
        self.check(verified.caller)
        return verified.caller

    async def fetch_key(self, token: str) -> None:
        """Wait for the key this token is checked with, if it has to be fetched; afterwards `verify` need not.

        Raises as `verify`; a token that is none is left to it.
        """
        if (
            len(token) > _LENGTH
            or not token.isascii()
            or self._remembered(_digest(token), self._clock.now()) is not None
        ):
            return
        if (key_id := self._key_id(token)) != CONNECT_KEY_ID:
            await self._keys.key(key_id)

    def check(self, caller: Caller) -> None:
        """Raises TokenRefused where the caller's token was revoked since it was verified."""
        if self._revoked(caller):
            raise TokenRefused("The token was revoked.")

    def _remembered(self, digest: bytes, now: datetime) -> _Verified | None:
        verified = self._verified.get(digest)
        return None if verified is None or verified.until <= now.timestamp() else verified

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified.pop(digest, None)
        self._verified[digest] = verified
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)

    async def _read(self, token: str) -> Claims:
        key_id = self._key_id(token)
        if key_id == CONNECT_KEY_ID:
            claims = read_claims(self._payload(token, self._connect_key, frozenset({CONNECT_ALGORITHM})))
            if not claims.connect_only:
                raise TokenRefused("The token's use is not that of its key.")
            return claims
        key = await self._keys.key(key_id)
        return read_claims(self._payload(token, key.key, key.algorithms))

    def _key_id(self, token: str) -> str | None:
        try:
            key_id = self._jws.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise TokenRefused("The token is not a JWT.") from None
        return key_id if isinstance(key_id, str) else None

    def _payload(self, token: str, key: Any, algorithms: frozenset[str]) -> bytes:
        try:
            payload: bytes = self._jws.decode_complete(token, key=key, algorithms=sorted(algorithms))["payload"]
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise TokenRefused("The token's signature does not hold.") from None
        return payload


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
