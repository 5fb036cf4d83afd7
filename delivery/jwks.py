"""Keys from a JWKS document (RFC 7517) behind a URL, fetched without ever blocking the loop."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx
import jwt
import msgspec
import structlog
from msgspec import Struct

from bus.clock import Clock
from delivery.errors import KeysUnavailable, KeyUnusable, TokenRefused
from delivery.keys import VerifyingKey, verifying_key

_FETCH_SECONDS: Final = 5.0
_DOCUMENT_BYTES: Final = 256 * 1024
_KEYS: Final = 100
_logger = structlog.get_logger(__name__)


class _Document(Struct, frozen=True):
    keys: list[dict[str, Any]]


class JwksKeys:
    """The issuer's keys, kept for a while.

    Fetched again when they are older than `fresh_seconds`, and for a `kid` not seen before, but never more often than
    every `pause_seconds`: a storm of made-up `kid`s costs one fetch. While the issuer is away the keys held go on
    working for `stale_seconds`.
    """

    def __init__(
        self,
        *,
        url: str,
        client: httpx.AsyncClient,
        clock: Clock,
        fresh_seconds: float = 300.0,
        stale_seconds: float = 86_400.0,
        pause_seconds: float = 15.0,
    ) -> None:
        self._url = url
        self._client = client
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._stale_seconds = stale_seconds
        self._pause_seconds = pause_seconds
        self._keys: dict[str | None, VerifyingKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()

    async def key(self, key_id: str | None) -> VerifyingKey:
        """The key with this `kid`; without a `kid` the only key there is. Raises TokenRefused, KeysUnavailable."""
        if self._outdated(key_id):
            async with self._fetching:
                if self._outdated(key_id) and self._may_try():
                    await self._fetch()
        if self._age(self._fetched_at) > self._stale_seconds:
            raise KeysUnavailable("Tokens cannot be checked now: the issuer's keys cannot be fetched. Try again later.")
        key = self._find(key_id)
        if key is None:
            raise TokenRefused("The token is signed with a key that its issuer does not publish.")
        return key

    def _find(self, key_id: str | None) -> VerifyingKey | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _outdated(self, key_id: str | None) -> bool:
        return self._age(self._fetched_at) > self._fresh_seconds or self._find(key_id) is None

    def _may_try(self) -> bool:
        return self._age(self._tried_at) >= self._pause_seconds

    def _age(self, moment: float | None) -> float:
        return float("inf") if moment is None else self._clock.monotonic() - moment

    async def _fetch(self) -> None:
        self._tried_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                document = msgspec.json.decode(await self._read(), type=_Document)
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            _logger.warning("jwks_unreachable", error_type=type(error).__name__)
            return
        self._keys = _usable_keys(document)
        self._fetched_at = self._clock.monotonic()

    async def _read(self) -> bytes:
        body = bytearray()
        async with self._client.stream("GET", self._url, follow_redirects=False) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _DOCUMENT_BYTES:
                    raise ValueError("The JWKS document is too large.")
        return bytes(body)


def _usable_keys(document: _Document) -> dict[str | None, VerifyingKey]:
    """The public signature keys by `kid`; secrets, private keys and keys for encryption are left out."""
    keys: dict[str | None, VerifyingKey] = {}
    for entry in document.keys[:_KEYS]:
        key_id = entry.get("kid")
        if entry.get("use", "sig") != "sig" or "d" in entry or not isinstance(key_id, str | None):
            continue
        try:
            keys[key_id] = verifying_key(jwt.PyJWK.from_dict(entry).key)
        except (jwt.PyJWTError, KeyUnusable, ValueError, TypeError):
            _logger.warning("jwks_key_unusable", key_type=str(entry.get("kty"))[:16])
    return keys
