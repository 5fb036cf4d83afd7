"""Where a token is found in what a client sends."""

from __future__ import annotations

from collections.abc import Mapping

from delivery.errors import TokenRefused

_SCHEME = "bearer"


def bearer_token(authorization: str) -> str:
    """The token of `Bearer TOKEN`, the scheme in any case of letters. Raises TokenRefused."""
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != _SCHEME or not token:
        raise TokenRefused("The authorization must be `Bearer` and a token.")
    return token


def connection_token(payload: Mapping[str, object] | None) -> str:
    """The token of a `connection_init` payload. Raises TokenRefused.

    `authorization` (in any case of letters) with `Bearer TOKEN`, or `authToken` with the token alone; both may be
    given if they agree. Two that differ are refused: nobody can say which one was meant.
    """
    tokens: set[str] = set()
    for key, value in (payload or {}).items():
        if key.lower() not in {"authorization", "authtoken"}:
            continue
        if not isinstance(value, str):
            raise TokenRefused("The token in the payload of connection_init must be a string.")
        tokens.add(bearer_token(value) if key.lower() == "authorization" else value.strip())
    if len(tokens) > 1:
        raise TokenRefused("The payload of connection_init holds tokens that differ.")
    if not tokens:
        raise TokenRefused(
            'connection_init needs a token: {"authorization": "Bearer TOKEN"} or {"authToken": "TOKEN"}.'
        )
    return tokens.pop()
