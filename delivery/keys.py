"""The keys that outside tokens are checked with: asymmetric ones only, each good for the algorithms of its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from msgspec import Struct

from delivery.errors import KeyUnusable

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_RSA_MINIMUM_BITS: Final = 2048
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class VerifyingKey(Struct, frozen=True, kw_only=True):
    """A public key, and the signature algorithms it may be used with: the token's own word is never trusted."""

    key: PublicKey
    algorithms: frozenset[str]


class KeySource(Protocol):
    """Where the keys of outside tokens come from. Adapters: one fixed key, a JWKS document behind a URL."""

    async def key(self, key_id: str | None) -> VerifyingKey:
        """The key with this `kid` (None: the token names none). Raises TokenRefused, KeysUnavailable."""
        ...


class FixedKey:
    """One key for every token, whatever `kid` it names."""

    def __init__(self, key: VerifyingKey) -> None:
        self._key = key

    async def key(self, key_id: str | None) -> VerifyingKey:  # noqa: ARG002 (the port's; one key has no choice)
        return self._key


def verifying_key(key: object) -> VerifyingKey:
    """The key with the algorithms of its kind. Raises KeyUnusable for any other kind, secrets among them."""
    match key:
        case Ed25519PublicKey():
            return VerifyingKey(key=key, algorithms=frozenset({"EdDSA"}))
        case EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return VerifyingKey(key=key, algorithms=frozenset({_CURVES[key.curve.name]}))
        case RSAPublicKey() if key.key_size >= _RSA_MINIMUM_BITS:
            return VerifyingKey(key=key, algorithms=_RSA)
        case _:
            raise KeyUnusable(
                "The key must be a public key: Ed25519, EC (P-256, P-384, P-521), or RSA of 2,048 bits or more."
            )


def public_key(pem_or_path: str) -> FixedKey:
    """The source for one public key: PEM text, or the path of a file that holds it. Raises KeyUnusable."""
    try:
        pem = pem_or_path.encode() if "-----BEGIN" in pem_or_path else Path(pem_or_path).read_bytes()
    except (OSError, ValueError) as error:
        raise KeyUnusable("The public key's file cannot be read.") from error
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable("The public key is no PEM public key.") from error
    return FixedKey(verifying_key(key))
