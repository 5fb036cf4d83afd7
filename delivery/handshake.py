"""The HTTP request that a WebSocket begins with, and its answer (RFC 6455, section 4)."""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from delivery.errors import BadRequest, VersionRefused

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = b"13"
_KEY_BYTES: Final = 16
_ASKED: Final = frozenset(
    {b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol", b"x-forwarded-for"}
)


class Handshake(Struct, frozen=True, kw_only=True):
    """A request to become a WebSocket."""

    key: bytes
    subprotocols: Sequence[str]
    """As the client offers them, the best first."""
    forwarded_for: str | None
    """What proxies say whom they ask for; anybody can say that."""

    def accepted(self, subprotocol: str | None) -> bytes:
        """The answer that makes it one."""
        accept = b64encode(hashlib.sha1(self.key + _GUID, usedforsecurity=False).digest())
        chosen = b"" if subprotocol is None else b"Sec-WebSocket-Protocol: %s\r\n" % subprotocol.encode()
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n%s\r\n" % (accept, chosen)
        )


def read_handshake(headers: Sequence[tuple[bytes, bytes]]) -> Handshake:
    """Of a GET with `Upgrade: websocket`; the names are in small letters. Raises BadRequest, VersionRefused."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _ASKED:
            found.setdefault(name, []).append(value)
    if found.get(b"sec-websocket-version") != [_VERSION]:
        raise VersionRefused("`Sec-WebSocket-Version` must be 13.")
    offers = b",".join(found.get(b"sec-websocket-protocol", ())).decode("latin-1")
    forwarded_for = b", ".join(found.get(b"x-forwarded-for", ())).decode("latin-1")
    return Handshake(
        key=_key(found.get(b"sec-websocket-key", ())),
        subprotocols=[offer.strip() for offer in offers.split(",")],
        forwarded_for=forwarded_for or None,
    )


def _key(given: Sequence[bytes]) -> bytes:
    try:
        (key,) = given
        length = len(binascii.a2b_base64(key, strict_mode=True))
    except ValueError:
        length = 0
    if length != _KEY_BYTES:
        raise BadRequest("This is no WebSocket handshake: `Sec-WebSocket-Key` must be 16 bytes in base64.")
    return given[0]
