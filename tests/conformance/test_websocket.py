"""RFC 6455 against the real program, by the sections of Autobahn's suite; what comes back is the pong of a ping.

tests/conformance/autobahn.py runs the suite itself, against an echo.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.conformance.wire import Closed, Frame, Opcode, Wire, close_payload, framed, wire
from tests.system.program import Server

TEXT, BINARY, MORE = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION
PING, PONG, CLOSE = Opcode.PING, Opcode.PONG, Opcode.CLOSE
SAID: Final = {"payload": {"é": "κόσμε 😀"}}
ASK: Final = json.dumps({"type": "ping", **SAID}, ensure_ascii=False).encode()
"""A message with characters of two, three and four bytes."""


async def until_answered(talk: Wire) -> list[Frame | Closed]:
    """All frames up to the answer to ASK, or to the end."""
    frames = []
    while not isinstance(frame := await talk.frame(), Closed):
        frames.append(frame)
        if frame.opcode == TEXT:
            assert json.loads(frame.payload) == {"type": "pong", **SAID}
            return [*frames]
    return [*frames, frame]


def sized(length: int) -> tuple[bytes, dict[str, Any]]:
    """A message of so many bytes, and its answer."""
    empty = len(json.dumps({"type": "ping", "payload": {"a": ""}}))
    payload = {"a": "x" * (length - empty)}
    return json.dumps({"type": "ping", "payload": payload}).encode(), {"type": "pong", "payload": payload}


@pytest.mark.parametrize("length", [40, 125, 126, 127, 128, 65_535, 65_536])
@pytest.mark.parametrize("piece", [1 << 20, 997, 7], ids=["whole", "chopped", "finely chopped"])
async def test_1_framing_text_of_every_form_of_length(program: Server, length: int, piece: int) -> None:
    message, answer = sized(length)
    data = framed(TEXT, message)
    if len(data) / piece > 1000:
        piece = 997
    async with wire(program.port) as talk:
        for start in range(0, len(data), piece):
            await talk.write(data[start : start + piece])
        assert await talk.hear() == answer


@pytest.mark.parametrize("payload", [b"", b"Hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125])
async def test_2_a_ping_is_answered_with_its_payload(program: Server, payload: bytes) -> None:
    async with wire(program.port) as talk:
        await talk.write(framed(PING, payload))
        assert await talk.frame() == Frame(PONG, payload)


async def test_2_ten_pings_at_once_are_answered_in_order_and_pongs_not_at_all(program: Server) -> None:
    async with wire(program.port) as talk:
        pings = b"".join(framed(PING, bytes([number])) + framed(PONG, b"unasked") for number in range(10))
        await talk.write(pings + framed(TEXT, ASK))
        *pongs, answer = await until_answered(talk)
        assert pongs == [Frame(PONG, bytes([number])) for number in range(10)]
        assert isinstance(answer, Frame)


BROKEN: Final = {
    "2 a ping of 126 bytes": framed(PING, b"\xfe" * 126),
    "3 the first reserved bit": framed(TEXT, ASK, reserved=4),
    "3 the second reserved bit": framed(TEXT, ASK, reserved=2),
    "3 the third reserved bit": framed(TEXT, ASK, reserved=1),
    "3 reserved bits of a binary frame": framed(BINARY, b"x", reserved=5),
    "3 reserved bits of a ping": framed(PING, b"x", reserved=6),
    "3 reserved bits of a close": framed(CLOSE, b"", reserved=7),
    **{f"4 the reserved opcode {opcode}": framed(opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "5 a ping in pieces": framed(PING, b"a", final=False) + framed(MORE, b"b"),
    "5 a pong in pieces": framed(PONG, b"a", final=False) + framed(MORE, b"b"),
    "5 a close in pieces": framed(CLOSE, b"", final=False) + framed(MORE, b""),
    "5 a last piece of nothing": framed(MORE, ASK),
    "5 a piece of nothing": framed(MORE, ASK, final=False),
    "5 a message between pieces": framed(TEXT, b"{", final=False) + framed(TEXT, ASK),
    "7 a close of one byte": framed(CLOSE, b"\x03"),
    **{
        f"7 a close with {code}": framed(CLOSE, close_payload(code))
        for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
    "7 a close of 126 bytes": framed(CLOSE, close_payload(1000, "x" * 124)),
    "a frame without a mask": framed(TEXT, ASK, masked=False),
    "a length of 64 bits with its highest set": bytes([0x81, 0xFF, 0xFF]) + bytes(7 + 4),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_a_breach_closes_with_1002_after_what_came_before_was_answered(program: Server, data: bytes) -> None:
    async with wire(program.port) as talk:
        await talk.write(framed(PING, b"before") + data)
        assert await talk.frame() == Frame(PONG, b"before")
        end = await talk.closed()
        assert end.code == (1009 if data[:2] == b"\x81\xff" else 1002)
        assert await talk.dropped()


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("at_once", [True, False], ids=["in one packet", "packet by packet"])
async def test_5_a_message_in_pieces_with_pings_between_them_is_one_message(
    program: Server, size: int, at_once: bool
) -> None:
    pieces = [ASK[start : start + size] for start in range(0, len(ASK), size)]
    frames = [
        framed(MORE if number else TEXT, piece, final=number == len(pieces) - 1) for number, piece in enumerate(pieces)
    ]
    async with wire(program.port) as talk:
        packets = [framed(PING, b"p") + frame for frame in frames]
        for packet in [b"".join(packets)] if at_once else packets:
            await talk.write(packet)
        *pongs, answer = await until_answered(talk)
        assert pongs == [Frame(PONG, b"p")] * len(frames)
        assert isinstance(answer, Frame)


async def test_5_pieces_of_nothing_are_taken_too(program: Server) -> None:
    async with wire(program.port) as talk:
        nothing = framed(MORE, b"", final=False) * 3
        await talk.write(framed(TEXT, b"", final=False) + nothing + framed(MORE, ASK, final=False) + framed(MORE))
        assert len(await until_answered(talk)) == 1


WRONG_TEXT: Final = {
    "a byte alone": b"\xff",
    "a continuation alone": b"\x80",
    "half a character": b"\xce",
    "a surrogate": b"\xed\xa0\x80",
    "too long a form": b"\xc0\xaf",
    "beyond unicode": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "behind good text": "κόσμε".encode() + b"\xed\xa0\x80edited",
}


@pytest.mark.parametrize("text", WRONG_TEXT.values(), ids=WRONG_TEXT)
@pytest.mark.parametrize("pieces", [True, False], ids=["in pieces", "whole"])
async def test_6_text_that_is_not_utf_8_closes_with_1007(program: Server, text: bytes, pieces: bool) -> None:
    async with wire(program.port) as talk:
        if pieces:
            await talk.write(framed(TEXT, text[:1], final=False) + framed(MORE, text[1:]))
        else:
            await talk.write(framed(TEXT, text))
        assert (await talk.closed()).code == 1007


async def test_6_a_reason_that_is_not_utf_8_closes_with_1007_or_1002(program: Server) -> None:
    async with wire(program.port) as talk:
        await talk.write(framed(CLOSE, b"\x03\xe8\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"))
        assert (await talk.closed()).code in {1002, 1007}


@pytest.mark.parametrize("text", ["\ufdd0", "\ufffe", "\U0001ffff", "\U0010ffff", "\ufffd", "\x7f", "\u0000"])
async def test_6_characters_that_only_look_wrong_are_taken(program: Server, text: str) -> None:
    async with wire(program.port) as talk:
        await talk.say(json.dumps({"type": "ping", "payload": {"a": "b" + text}}, ensure_ascii=text > " "))
        assert await talk.hear() == {"type": "pong", "payload": {"a": "b" + text}}


async def test_7_nothing_is_answered_behind_a_close(program: Server) -> None:
    async with wire(program.port) as talk:
        await talk.write(framed(CLOSE, close_payload(1000)) + framed(PING, b"late") + framed(TEXT, ASK))
        assert await talk.frame() == Closed(1000)
        assert await talk.dropped()


@pytest.mark.parametrize("payload", [b"", close_payload(1000), close_payload(1000, "x" * 123)])
async def test_7_a_close_is_returned_once(program: Server, payload: bytes) -> None:
    async with wire(program.port) as talk:
        await talk.write(framed(CLOSE, payload) * 2)
        assert (await talk.frame()) in (Closed(1000), Closed(1005), Closed(1000, "x" * 123))
        assert await talk.frame() == Closed(1006)


async def test_9_a_frame_that_only_announces_gigabytes_is_refused_at_once(program: Server) -> None:
    for length in (65_537, 1 << 31, (1 << 63) - 1):
        async with wire(program.port) as talk:
            await talk.write(bytes([0x81, 0xFF]) + length.to_bytes(8, "big") + bytes(4))
            assert (await talk.closed()).code == 1009


async def test_9_pieces_without_end_are_refused_at_the_limit(program: Server) -> None:
    async with wire(program.port) as talk:
        await talk.write(framed(TEXT, b"x" * 1024, final=False) + framed(MORE, b"x" * 1024, final=False) * 64)
        assert (await talk.closed()).code == 1009


async def test_10_a_large_message_in_many_small_pieces_is_one_message(program: Server) -> None:
    message, answer = sized(65_536)
    pieces = [message[start : start + 1300] for start in range(0, len(message), 1300)]
    async with wire(program.port) as talk:
        await talk.write(framed(TEXT, pieces[0], final=False))
        for piece in pieces[1:]:
            await talk.write(framed(MORE, piece, final=False))
        await talk.write(framed(MORE))
        assert await talk.hear() == answer


async def test_12_compression_is_neither_agreed_on_nor_understood(program: Server) -> None:
    async with wire(program.port, extensions="permessage-deflate; client_max_window_bits") as talk:
        assert "sec-websocket-extensions" not in talk.headers
        await talk.write(framed(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", reserved=4))
        assert (await talk.closed()).code == 1002


async def test_7_a_close_between_the_pieces_of_a_message_is_returned(program: Server) -> None:
    async with wire(program.port) as talk:
        await talk.write(framed(TEXT, b"{", final=False) + framed(CLOSE, close_payload(1000)) + framed(MORE, b"}"))
        assert await talk.closed() == Closed(1000)
