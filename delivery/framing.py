"""RFC 6455's frames, read and written: the bytes of a WebSocket, without a connection.

Without extensions, so that the reserved bits are always a breach; a client masks what it sends, a server does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from msgspec import Struct

_REASON_BYTES: Final = 123
"""What is left for a reason in a close frame."""
_CONTROL_BYTES: Final = 125
_NORMAL, _PROTOCOL_ERROR, _INVALID_DATA, _TOO_BIG = 1000, 1002, 1007, 1009
_WAITING: Final = (-1, -1, True)


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_OPCODES: Final = {int(opcode): opcode for opcode in Opcode}
_CONTROLS: Final = frozenset({Opcode.CLOSE, Opcode.PING, Opcode.PONG})


class Text(Struct, frozen=True):
    """A whole message."""

    text: str


class Binary(Struct, frozen=True):
    """A whole message."""

    data: bytes


class Ping(Struct, frozen=True):
    """To be answered with the same payload."""

    payload: bytes


class Pong(Struct, frozen=True):
    """The answer to a ping, or unasked."""


class Close(Struct, frozen=True):
    """The peer's last frame; its payload, a code and a reason or nothing, is to be returned."""

    payload: bytes


Received = Text | Binary | Ping | Pong | Close


class Breach(Exception):
    """What came is no WebSocket frame, or more than is taken: close with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameReader:
    """What one client sends, taken apart. Control frames may come between the pieces of a message; so may a close."""

    __slots__ = ("_begun", "_kind", "_limit_bytes", "_message")

    def __init__(self, message_limit_bytes: int) -> None:
        """`message_limit_bytes` is for a message of one piece or many."""
        self._limit_bytes = message_limit_bytes
        self._begun: bytearray | None = None
        """A frame of which something is missing yet."""
        self._message: bytearray | None = None
        """The pieces so far of a message in pieces."""
        self._kind = Opcode.TEXT
        """Of that message."""

    def read(self, data: bytes) -> Iterator[Received]:
        """What the next bytes complete. Raises Breach behind what came before it; then nothing more is to be read."""
        held: bytes | bytearray = data
        if self._begun is not None:
            self._begun += data
            held = self._begun
        at = 0
        while at < len(held):
            start, end, final = self._bounds(held, at)
            if end < 0 or end > len(held):
                break
            opcode = _OPCODES[held[at] & 0x0F]
            payload = _unmasked(held, start, end)
            at = end
            if opcode in _CONTROLS:
                yield _control(opcode, payload)
            elif final and self._message is None:
                yield _message(opcode, payload)
            else:
                whole = self._piece(opcode, payload, final=final)
                if whole is not None:
                    yield _message(self._kind, whole)
        if at or self._begun is None:
            self._begun = bytearray(held[at:]) if at < len(held) else None

    def _bounds(self, held: bytes | bytearray, at: int) -> tuple[int, int, bool]:
        """Where the frame's payload begins and ends, and whether it is a message's last piece; below 0 while its head
        is not whole. Raises Breach."""
        if len(held) < at + 2:
            return _WAITING
        first, second = held[at], held[at + 1]
        final, length, start = first >= 0x80, second & 0x7F, at + 2
        self._check(first & 0x0F, final=final, announced=length)
        if first & 0x70 or not second & 0x80:
            raise Breach(_PROTOCOL_ERROR, "reserved bits, or no mask")
        if length >= 126:
            start += 2 if length == 126 else 8
            if len(held) < start:
                return _WAITING
            length = int.from_bytes(held[at + 2 : start], "big")
        if length + len(self._message or b"") > self._limit_bytes and first & 0x0F not in _CONTROLS:
            raise Breach(_TOO_BIG, f"over the limit of {self._limit_bytes} bytes")
        return start + 4, start + 4 + length, final

    def _check(self, kind: int, *, final: bool, announced: int) -> None:
        opcode = _OPCODES.get(kind)
        if opcode is None:
            raise Breach(_PROTOCOL_ERROR, "unknown opcode")
        if opcode in _CONTROLS:
            if announced > _CONTROL_BYTES or not final:
                raise Breach(_PROTOCOL_ERROR, "a control frame that is long, or in pieces")
        elif (opcode is Opcode.CONTINUATION) is (self._message is None):
            raise Breach(_PROTOCOL_ERROR, "a piece out of its place")

    def _piece(self, opcode: Opcode, payload: bytes, *, final: bool) -> bytes | None:
        """Put it behind those before it; the whole message, if it is the last."""
        if self._message is None:
            self._kind, self._message = opcode, bytearray()
        self._message += payload
        if not final:
            return None
        whole, self._message = bytes(self._message), None
        return whole


def head(opcode: Opcode, length: int) -> bytes:
    """What comes before an unmasked payload of so many bytes, in one piece."""
    if length < 126:
        return bytes((0x80 | opcode, length))
    if length < 1 << 16:
        return bytes((0x80 | opcode, 126)) + length.to_bytes(2, "big")
    return bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big")


def close_payload(code: int, reason: str) -> bytes:
    """A code and a reason, which is cut to what a close frame holds."""
    return code.to_bytes(2, "big") + reason.encode()[:_REASON_BYTES].decode(errors="ignore").encode()


def _unmasked(held: bytes | bytearray, start: int, end: int) -> bytes:
    length = end - start
    mask = held[start - 4 : start]
    whole = int.from_bytes(held[start:end], "little")
    repeated = int.from_bytes((mask * (length // 4 + 1))[:length], "little")
    return (whole ^ repeated).to_bytes(length, "little")


def _message(opcode: Opcode, payload: bytes) -> Text | Binary:
    if opcode is Opcode.BINARY:
        return Binary(payload)
    try:
        return Text(payload.decode())
    except UnicodeDecodeError:
        raise Breach(_INVALID_DATA, "text that is not UTF-8") from None


def _control(opcode: Opcode, payload: bytes) -> Ping | Pong | Close:
    if opcode is Opcode.PING:
        return Ping(payload)
    if opcode is Opcode.PONG:
        return Pong()
    if payload:
        code = int.from_bytes(payload[:2], "big")
        if len(payload) == 1 or not (code in _SENDABLE or 3000 <= code < 5000):
            raise Breach(_PROTOCOL_ERROR, "no close code")
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            raise Breach(_INVALID_DATA, "a reason that is not UTF-8") from None
    return Close(payload)


_SENDABLE: Final = frozenset({_NORMAL, 1001, _PROTOCOL_ERROR, 1003, *range(_INVALID_DATA, 1015)})
"""Close codes below 3000 that may travel (RFC 6455, 7.4.1, and IANA's registry)."""
