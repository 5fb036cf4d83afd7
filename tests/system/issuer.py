"""An issuer of tokens as a deployment has one, and the settings that go with it."""

from __future__ import annotations

import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Issuer:
    """Has a key of its own, of which the server is given the public half."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    @property
    def public_key(self) -> str:
        """In PEM."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def settings(self) -> dict[str, str]:
        """What production needs, beside the payers' address."""
        return {
            "mode": "production",
            "jwt_public_key": self.public_key,
            "payer_api_key": "a payer key that nobody sees",
            "cursor_key": "a cursor key of this test, long enough",
            "public_url": "wss://covey.example.com/graphql",
            "provider_npi": "1999999984",
            "provider_name": "Clinic of the Test",
        }

    def token(self, member: str, tenant: str = "t-1", role: str = "member", **claims: Any) -> str:
        """A token of an hour; `claims` go before the usual ones."""
        now = int(time.time())
        usual = {"sub": member, "tid": tenant, "roles": [role], "aud": "covey", "iat": now, "exp": now + 3600}
        return jwt.encode({**usual, "mid": member, **claims}, self._key, algorithm="EdDSA")
