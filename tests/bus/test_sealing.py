"""What is sealed can be read by its tenant's key only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import LogCorrupt
from bus.ids import TenantId
from bus.sealing import PlainSealer, TenantSealer

T1, T2 = TenantId("t1"), TenantId("t2")
SEALER = TenantSealer(b"k" * 32)


@given(st.text(max_size=20).map(TenantId), st.binary(max_size=200))
def test_what_is_sealed_comes_back(tenant_id: TenantId, plain: bytes) -> None:
    assert SEALER.unseal(tenant_id, SEALER.seal(tenant_id, plain)) == plain


def test_the_same_data_is_never_sealed_to_the_same_bytes() -> None:
    assert len({SEALER.seal(T1, b"data") for _ in range(100)}) == 100


def test_nothing_of_the_data_shows() -> None:
    assert b"Rivera" not in SEALER.seal(T1, b'{"lastName":"Rivera"}')


@pytest.mark.parametrize("stranger", [TenantSealer(b"K" * 32), SEALER], ids=["another key", "another tenant"])
def test_another_key_or_tenant_does_not_open_it(stranger: TenantSealer) -> None:
    tenant_id = T2 if stranger is SEALER else T1
    with pytest.raises(LogCorrupt, match="another data key, or altered"):
        stranger.unseal(tenant_id, SEALER.seal(T1, b"data"))


@pytest.mark.parametrize("length", [1, 5, 13, 20, 32])
def test_what_was_cut_or_altered_is_refused(length: int) -> None:
    sealed = SEALER.seal(T1, b"data")
    altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for kept in (sealed[:length], altered):
        with pytest.raises(LogCorrupt):
            SEALER.unseal(T1, kept)


def test_data_of_the_time_before_the_key_is_still_read() -> None:
    assert SEALER.unseal(T1, PlainSealer().seal(T1, b"{}")) == b"{}"


def test_without_a_key_sealed_data_is_told_apart() -> None:
    assert PlainSealer().unseal(T1, b"{}") == b"{}"
    with pytest.raises(LogCorrupt, match="set the data key"):
        PlainSealer().unseal(T1, SEALER.seal(T1, b"{}"))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes; this one has 5"):
        TenantSealer(b"short")
