"""The development key: made in the data folder on first use, so that a new user has tokens without an issuer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bus.ids import MemberId, TenantId
from bus.owner_only import close_to_others
from delivery.caller import Role
from delivery.claims import AUDIENCE
from delivery.errors import KeyUnusable
from delivery.keys import FixedKey, verifying_key

KEY_FILE: Final = "development-key.pem"


class DevelopmentKey:
    """An Ed25519 key that both signs and checks. For development mode only: whoever reads the file is anybody."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key

    @classmethod
    def in_folder(cls, folder: Path) -> DevelopmentKey:
        """The key of this folder, made if there is none yet, and readable by its owner only. Raises KeyUnusable.

        Several processes may do this at once: all get the same key.
        """
        path = folder / KEY_FILE
        try:
            if not path.exists():
                _write_once(path)
            close_to_others(path)
            private_key = load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise KeyUnusable(
                f"The development key {path} cannot be read or made ({error.strerror}): use a folder that this user "
                "may write."
            ) from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyUnusable(f"{path} holds no private key. Delete it, and a new one is made.") from error
        if not isinstance(private_key, Ed25519PrivateKey):
            raise KeyUnusable(f"{path} holds a key of another kind. Delete it, and a new one is made.")
        return cls(private_key)

    @property
    def source(self) -> FixedKey:
        """Checks what this key signed."""
        return FixedKey(verifying_key(self._private_key.public_key()))

    def sign(self, claims: dict[str, object]) -> str:
        """A token with exactly these claims."""
        return jwt.encode(claims, self._private_key, algorithm="EdDSA", headers={"kid": "development"})


def sign_development_token(
    key: DevelopmentKey,
    *,
    tenant_id: TenantId,
    roles: Sequence[Role],
    member_id: MemberId | None,
    ttl_seconds: int,
    now: datetime,
    token_id: str,
) -> str:
    """A token for `covey token` and the demo; it ends `ttl_seconds` after `now`.

    `member_id` is the subject too; callers that are no members are named by their first role.
    """
    issued = int(now.timestamp())
    claims: dict[str, object] = {
        "sub": member_id or str(roles[0]),
        "tid": tenant_id,
        "roles": [str(role) for role in roles],
        "aud": AUDIENCE,
        "iat": issued,
        "exp": issued + ttl_seconds,
        "jti": token_id,
    }
    if member_id is not None:
        claims["mid"] = member_id
    return key.sign(claims)


def _write_once(path: Path) -> None:
    """Make the file whole or not at all; one that another process made meanwhile stays."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".development-key-")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()
