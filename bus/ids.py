"""Identifiers: their types, and how new ones are made."""

from __future__ import annotations

import hashlib
import secrets
from typing import NewType, Protocol

TenantId = NewType("TenantId", str)
MemberId = NewType("MemberId", str)
"""Our own id of a member. Unique within a tenant only."""
PayerId = NewType("PayerId", str)
"""A canonical payer id, as the directory gives it; never an alias."""
RequestId = NewType("RequestId", str)
CallId = NewType("CallId", str)
EventId = NewType("EventId", str)


class NewId(Protocol):
    """Makes an id that was never made before; injected, so that tests can foresee it."""

    def __call__(self) -> str: ...


def random_id() -> str:
    """128 random bits in hexadecimal: safe in URLs, file names and GraphQL ids."""
    return secrets.token_hex(16)


def derived_id(*parts: str) -> str:
    """The id that these parts always give: the same parts, on any instance, at any time, name the same thing.

    Parts are separated unambiguously, so that ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big"))
        digest.update(encoded)
    return digest.digest()[:16].hex()
