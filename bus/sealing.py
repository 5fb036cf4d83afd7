"""Encryption of what is kept, under a key of each tenant's own."""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bus.errors import LogCorrupt
from bus.ids import TenantId

_VERSION: Final = b"\x01"
"""The first byte of what is sealed; JSON never begins with it, so that plain data is told apart."""
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_TENANTS_REMEMBERED: Final = 1024


class Sealer(Protocol):
    """Turns a tenant's data into bytes that only the holder of the key can read, and back."""

    def seal(self, tenant_id: TenantId, plain: bytes) -> bytes:
        """Encrypt; the same data gives other bytes each time."""
        ...

    def unseal(self, tenant_id: TenantId, kept: bytes) -> bytes:
        """Decrypt what `seal` made for this tenant; what was never sealed comes back as it is.

        Raises LogCorrupt where the key is another, the tenant is another, or the bytes were altered.
        """
        ...


class PlainSealer:
    """For a log without a key: keeps data as it is, and says so when it meets sealed data."""

    def seal(self, tenant_id: TenantId, plain: bytes) -> bytes:  # noqa: ARG002 - the port names it
        return plain

    def unseal(self, tenant_id: TenantId, kept: bytes) -> bytes:  # noqa: ARG002 - the port names it
        if kept.startswith(_VERSION):
            raise LogCorrupt("The data is encrypted: set the data key that it was written with (COVEY_DATA_KEY).")
        return kept


class TenantSealer:
    """AES-256-GCM with a random nonce, the tenant as associated data, and a key derived by HKDF (RFC 5869) from the
    master key for each tenant.

    A kept value is version byte, nonce, ciphertext and tag. Raises ValueError for a master key under 32 bytes.
    """

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) < _KEY_BYTES:
            raise ValueError(f"A data key has at least {_KEY_BYTES} bytes; this one has {len(master_key)}.")
        self._master_key = master_key
        self._cipher = lru_cache(_TENANTS_REMEMBERED)(self._derive)

    def seal(self, tenant_id: TenantId, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher(tenant_id).encrypt(nonce, plain, tenant_id.encode())

    def unseal(self, tenant_id: TenantId, kept: bytes) -> bytes:
        if not kept.startswith(_VERSION):
            return kept
        nonce, sealed = kept[1 : 1 + _NONCE_BYTES], kept[1 + _NONCE_BYTES :]
        try:
            return self._cipher(tenant_id).decrypt(nonce, sealed, tenant_id.encode())
        except (InvalidTag, ValueError) as error:
            raise LogCorrupt(
                "The data cannot be decrypted: it was written with another data key, or altered."
            ) from error

    def _derive(self, tenant_id: TenantId) -> AESGCM:
        derivation = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"covey tenant " + tenant_id.encode())
        return AESGCM(derivation.derive(self._master_key))
