"""What a broker's answer to a fetch holds: batches of records, each with a checksum."""

from __future__ import annotations

from typing import Any, NamedTuple

from aiokafka.errors import for_code
from aiokafka.record.memory_records import MemoryRecords

from bus.errors import LogCorrupt


class Decoded(NamedTuple):
    """Neighbouring records of a partition."""

    records: list[Any]
    """With `offset`, `key`, `value` and `headers`; may be empty."""
    next_offset: int
    """Where the partition is read on; there may have been batches without a record of anybody's."""


def decoded(encoded: bytes | None, offset: int) -> Decoded:
    """The broker sends whole batches: what stands before `offset` in the first is left out. Raises LogCorrupt."""
    found: list[Any] = []
    next_offset = offset
    batches = MemoryRecords(encoded or b"")
    while batches.has_next():
        batch = batches.next_batch()
        if not batch.validate_crc():
            raise LogCorrupt(f"Kafka's records from offset {next_offset} on are damaged.")
        if not batch.is_control_batch:
            found += [record for record in batch if record.offset >= offset]
        next_offset = max(next_offset, batch.next_offset)
    return Decoded(found, next_offset)


def check(code: int) -> None:
    """Raises the KafkaError of an answer's code, unless that is 0."""
    if code:
        raise for_code(code)()
