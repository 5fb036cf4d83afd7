"""Cursors: opaque texts that say how far a stream was read, and that nobody else can make or use.

A cursor is the url-safe base64, without padding, of

    version    1 byte     1
    epoch      4 bytes    of the SHA-256 of the log's epoch
    positions  9 bytes    for each topic: its code, then the position as an unsigned 64-bit number
    seal       16 bytes   of keyed BLAKE2s (RFC 7693) over the scope and all of the above

The scope goes into the seal only, so that a cursor names no tenant, member or request.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from bus.errors import CursorUnknown, StreamReset
from bus.events import Topic
from bus.ids import MemberId, TenantId

_VERSION: Final = b"\x01"
_CODES: Final[dict[Topic, int]] = {Topic.RTE: 1, Topic.PAYER: 2}
"""Written into cursors that clients keep: a code is never given to another topic."""
_TOPICS: Final = {code: topic for topic, code in _CODES.items()}
_POSITION: Final = struct.Struct(">BQ")
_EPOCH_BYTES: Final = 4
_SEAL_BYTES: Final = 16
_HEAD_BYTES: Final = len(_VERSION) + _EPOCH_BYTES
_LONGEST: Final = 4 * (_HEAD_BYTES + len(Topic) * _POSITION.size + _SEAL_BYTES + 2) // 3
"""Characters of a cursor with a position in every topic; nothing longer is looked at."""


class CursorScope(Struct, frozen=True, array_like=True):
    """Whose cursor it is, and of which stream; it is worth nothing anywhere else."""

    tenant_id: TenantId
    member_id: MemberId | None
    """None for streams that are the same for everybody of the tenant."""
    stream: str


_SCOPES: Final = msgspec.msgpack.Encoder()  # delimits itself, so that no two scopes run into one another


class Cursors:
    """Makes cursors, and opens those that were made with the same key for the same scope."""

    def __init__(self, key: bytes, epoch: str) -> None:
        """`key` is shared by all instances; `epoch` names the log whose positions these are."""
        # Its key is at most as long as a SHA-256. HMAC would do as well, at five times the cost for each event.
        self._begun = hashlib.blake2s(key=hashlib.sha256(key).digest(), digest_size=_SEAL_BYTES)
        self._head = _VERSION + hashlib.sha256(epoch.encode()).digest()[:_EPOCH_BYTES]

    def seal(self, scope: CursorScope, positions: Mapping[Topic, int]) -> str:
        """The cursor of a stream that was read up to these positions."""
        payload = self._head
        for topic, position in positions.items():
            payload += _POSITION.pack(_CODES[topic], position)
        return urlsafe_b64encode(payload + self._seal(scope, payload)).rstrip(b"=").decode()

    def open(self, scope: CursorScope, text: str) -> dict[Topic, int]:
        """The positions that were sealed.

        Raises CursorUnknown where the text is not a cursor of this scope, whatever else it is, and StreamReset where it
        is one of another log.
        """
        payload = self._authentic(scope, text)
        if not payload.startswith(_VERSION):
            raise CursorUnknown("The cursor was made by a version that this one cannot read.")
        if not payload.startswith(self._head):
            raise StreamReset("The cursor is of another log.")
        try:
            return {_TOPICS[code]: position for code, position in _POSITION.iter_unpack(payload[_HEAD_BYTES:])}
        except (KeyError, struct.error):
            raise CursorUnknown("The cursor was made by a version that this one cannot read.") from None

    def _authentic(self, scope: CursorScope, text: str) -> bytes:
        unknown = CursorUnknown("The cursor was made up, altered, or belongs to another stream.")
        if len(text) > _LONGEST:
            raise unknown
        try:
            encoded = text.encode("ascii")
            sealed = urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))
        except (UnicodeEncodeError, NotBase64):
            raise unknown from None
        payload, seal = sealed[:-_SEAL_BYTES], sealed[-_SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(scope, payload)):
            raise unknown
        if urlsafe_b64encode(sealed).rstrip(b"=") != encoded:  # the decoder passes over what it does not know
            raise unknown
        return payload

    def _seal(self, scope: CursorScope, payload: bytes) -> bytes:
        sealing = self._begun.copy()
        sealing.update(_SCOPES.encode(scope) + payload)
        return sealing.digest()
