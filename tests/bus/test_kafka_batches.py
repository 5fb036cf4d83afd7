from __future__ import annotations

import pytest
from aiokafka.errors import NotLeaderForPartitionError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from bus.errors import LogCorrupt
from bus.kafka.batches import check, decoded


def batch(values: list[bytes]) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1024,
    )
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=0, key=None, value=value, headers=[])
    return bytes(builder.build())


def test_what_stands_before_the_offset_is_left_out() -> None:
    records, next_offset = decoded(batch([b"a", b"b", b"c"]), 1)
    assert [(record.offset, record.value) for record in records] == [(1, b"b"), (2, b"c")]
    assert next_offset == 3


def test_nothing_leads_nowhere() -> None:
    assert decoded(None, 7) == decoded(b"", 7) == ([], 7)


def test_a_damaged_batch_is_refused_and_its_words_are_not_told() -> None:
    encoded = bytearray(batch([b"Ana Rivera"]))
    encoded[-3] ^= 1
    with pytest.raises(LogCorrupt, match="offset 0") as refused:
        decoded(bytes(encoded), 0)
    assert "Rivera" not in str(refused.value)


def test_a_code_is_an_error_unless_it_is_0() -> None:
    check(0)
    with pytest.raises(NotLeaderForPartitionError):
        check(6)
