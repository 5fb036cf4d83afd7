from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.cursor import Cursors, CursorScope
from bus.errors import CursorError, CursorUnknown, StreamReset
from bus.events import Topic
from bus.ids import MemberId, TenantId

KEY = b"k" * 32
SCOPE = CursorScope(TenantId("t1"), MemberId("m1"), "member")
POSITIONS = {Topic.RTE: 7, Topic.PAYER: 3}

names = st.text(max_size=20)
scopes = st.builds(CursorScope, names.map(TenantId), st.none() | names.map(MemberId), names)
positions_of_topics = st.dictionaries(st.sampled_from(Topic), st.integers(0, 2**64 - 1))


@pytest.fixture
def cursors() -> Cursors:
    return Cursors(KEY, "epoch1")


def _altered(text: str, position: int) -> str:
    raw = bytearray(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    raw[position] ^= 1
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


@given(scopes, positions_of_topics)
def test_what_was_sealed_is_opened_in_its_scope(scope: CursorScope, positions: Mapping[Topic, int]) -> None:
    assert Cursors(KEY, "epoch1").open(scope, Cursors(KEY, "epoch1").seal(scope, positions)) == positions


@given(scopes, scopes)
def test_a_cursor_is_unknown_in_any_other_scope(scope: CursorScope, other: CursorScope) -> None:
    cursors = Cursors(KEY, "epoch1")
    text = cursors.seal(scope, POSITIONS)
    if scope == other:
        assert cursors.open(other, text) == POSITIONS
    else:
        with pytest.raises(CursorUnknown):
            cursors.open(other, text)


@pytest.mark.parametrize(
    "other",
    [
        CursorScope(TenantId("t2"), MemberId("m1"), "member"),
        CursorScope(TenantId("t1"), MemberId("m2"), "member"),
        CursorScope(TenantId("t1"), None, "member"),
        CursorScope(TenantId("t1"), MemberId("m1"), "request/r1"),
        CursorScope(TenantId("t1m1"), MemberId(""), "member"),
    ],
)
def test_a_cursor_is_bound_to_tenant_member_and_stream(cursors: Cursors, other: CursorScope) -> None:
    with pytest.raises(CursorUnknown):
        cursors.open(other, cursors.seal(SCOPE, POSITIONS))


def test_a_cursor_is_short_and_safe_in_urls_and_names_nobody(cursors: Cursors) -> None:
    scope = CursorScope(TenantId("tenant-acme"), MemberId("member-jane"), "request/abc")
    text = cursors.seal(scope, POSITIONS)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,56}", text)
    assert not any(name in urlsafe_b64decode(text + "==") for name in (b"acme", b"jane", b"abc"))


def test_no_byte_of_a_cursor_can_be_altered(cursors: Cursors) -> None:
    text = cursors.seal(SCOPE, POSITIONS)
    for position in range(len(text) * 3 // 4):
        with pytest.raises(CursorUnknown):
            cursors.open(SCOPE, _altered(text, position))


def test_a_cursor_has_one_spelling(cursors: Cursors) -> None:
    text = cursors.seal(SCOPE, POSITIONS)
    last = text[-1]
    twins = [text[:-1] + chr(ord(last) + 1), f"{text[:9]}!{text[9:]}", f"{text}=", f" {text}", f"{text}\n"]
    for twin in twins:
        with pytest.raises(CursorUnknown):
            cursors.open(SCOPE, twin)


@given(st.text() | st.text(alphabet="ABCabc012-_=", max_size=80) | st.just("A" * 1_000_000) | st.just("\ud800"))
def test_any_junk_is_unknown(junk: str) -> None:
    with pytest.raises(CursorUnknown):
        Cursors(KEY, "epoch1").open(SCOPE, junk)


def test_an_authentic_cursor_of_another_log_is_a_reset(cursors: Cursors) -> None:
    with pytest.raises(StreamReset):
        Cursors(KEY, "epoch2").open(SCOPE, cursors.seal(SCOPE, POSITIONS))


def test_another_key_makes_every_cursor_unknown(cursors: Cursors) -> None:
    with pytest.raises(CursorUnknown):
        Cursors(b"other", "epoch1").open(SCOPE, cursors.seal(SCOPE, POSITIONS))


@pytest.mark.parametrize(
    "alter",
    [
        lambda payload: b"\x02" + payload[1:],
        lambda payload: payload[:5] + b"\x63" + payload[6:],
        lambda payload: payload[:-1],
    ],
    ids=["version", "topic", "length"],
)
def test_an_authentic_cursor_of_a_later_version_is_unknown(cursors: Cursors, alter: Callable[[bytes], bytes]) -> None:
    """Made by an instance of another version that shares the key, during a deploy."""
    payload = alter(urlsafe_b64decode(cursors.seal(SCOPE, {Topic.RTE: 7}))[:-16])
    text = urlsafe_b64encode(payload + cursors._seal(SCOPE, payload)).rstrip(b"=").decode()
    with pytest.raises(CursorUnknown) as raised:
        cursors.open(SCOPE, text)
    assert isinstance(raised.value, CursorError) and "version" in str(raised.value)
