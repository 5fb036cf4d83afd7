"""Frames, however they are cut; `tests/conformance/test_websocket.py` holds the whole program to RFC 6455."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.frames import Opcode as Theirs

from delivery.framing import Binary, Breach, Close, FrameReader, Opcode, Ping, Pong, Received, Text, close_payload, head

LIMIT = 70_000
texts = st.text(max_size=20) | st.sampled_from(["x" * 125, "x" * 126, "x" * 65_535, "\u00e9" * 35_000])


def sent(opcode: Theirs, payload: bytes, *, final: bool = True) -> bytes:
    """As websockets writes it, for a client."""
    return Frame(opcode, payload, final).serialize(mask=True, extensions=[])


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, list[Received]]:
    """Bytes, and what they say: messages in any pieces, with control frames anywhere between."""
    written, said = b"", list[Received]()

    def control() -> bytes:
        payload = draw(st.binary(max_size=5))
        if draw(st.booleans()):
            said.append(Ping(payload))
            return sent(Theirs.PING, payload)
        said.append(Pong())
        return sent(Theirs.PONG, payload)

    for _ in range(draw(st.integers(0, 3))):
        binary = draw(st.booleans())
        payload = draw(st.binary(max_size=20)) if binary else draw(texts).encode()
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        pieces = [payload[start:end] for start, end in itertools.pairwise([0, *cuts, len(payload)])]
        for number, piece in enumerate(pieces):
            opcode = Theirs.CONT if number else Theirs.BINARY if binary else Theirs.TEXT
            written += sent(opcode, piece, final=number == len(pieces) - 1)
            if number == len(pieces) - 1:
                said.append(Binary(payload) if binary else Text(payload.decode()))
            if draw(st.booleans()):
                written += control()
    return written, said


@given(conversations(), st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_what_websockets_writes_is_read_however_it_is_cut(
    conversation: tuple[bytes, list[Received]], sizes: list[int]
) -> None:
    data, said = conversation
    reader, found = FrameReader(LIMIT), list[Received]()
    start = 0
    for size in sizes:
        found += reader.read(data[start : start + size])
        start += size
    found += reader.read(data[start:])
    assert found == said


@given(st.binary(max_size=200) | st.sampled_from([b"x" * size for size in (125, 126, 65_535, 65_536)]))
def test_what_is_written_is_as_websockets_writes_it(payload: bytes) -> None:
    for ours, theirs in ((Opcode.TEXT, Theirs.TEXT), (Opcode.BINARY, Theirs.BINARY)):
        assert head(ours, len(payload)) + payload == Frame(theirs, payload).serialize(mask=False, extensions=[])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_are_a_breach(data: bytes) -> None:
    codes = {0}
    try:
        list(FrameReader(1000).read(data))
    except Breach as breach:
        codes = {breach.code}
    assert codes <= {0, 1002, 1007, 1009}


def test_what_came_before_a_breach_is_read() -> None:
    reading = FrameReader(LIMIT).read(sent(Theirs.PING, b"a") + b"\xff\xff")
    assert next(reading) == Ping(b"a")
    with pytest.raises(Breach):
        next(reading)


def test_the_limit_is_for_all_pieces_together_and_told_by_the_head_alone() -> None:
    reader = FrameReader(10)
    assert list(reader.read(sent(Theirs.TEXT, b"12345", final=False))) == []
    with pytest.raises(Breach) as breach:
        list(reader.read(sent(Theirs.CONT, b"678901")[:2]))
    assert breach.value.code == 1009


@pytest.mark.parametrize("code", [999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_may_not_travel_are_a_breach(code: int) -> None:
    with pytest.raises(Breach) as breach:
        list(FrameReader(LIMIT).read(sent(Theirs.CLOSE, code.to_bytes(2, "big"))))
    assert breach.value.code == 1002


def test_a_close_is_given_with_its_payload_and_a_reason_is_cut_to_what_one_holds() -> None:
    payload = close_payload(4400, "\u00e9" * 100)
    assert payload[2:].decode() == "\u00e9" * 61
    assert list(FrameReader(LIMIT).read(sent(Theirs.CLOSE, payload))) == [Close(payload)]
