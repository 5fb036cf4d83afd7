"""Reading on from one broker: what is new in many partitions, at the price of what is new.

aiokafka's consumer names every partition in every request and is answered about each; with 48 of them that costs more
than the events do. Here the broker remembers what is read (a fetch session, KIP-227): a request names the partitions
that moved, an answer those that have something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, for_code
from aiokafka.protocol.fetch import FetchRequest_v7
from aiokafka.record.memory_records import MemoryRecords
from msgspec import Struct

from bus.errors import LogCorrupt

_WAIT_MILLISECONDS: Final = 500
_LEAST_BYTES: Final = 1
_MOST_BYTES: Final = 1024 * 1024
_MOST_BYTES_OF_PARTITION: Final = 256 * 1024
"""Kafka sends a larger event all the same."""
_ANY_REPLICA: Final = -1
_UNCOMMITTED: Final = 0
_CONSUMERS_START: Final = -1
_SESSION_FORGOTTEN: Final = frozenset({70, 71})
"""FETCH_SESSION_ID_NOT_FOUND and INVALID_FETCH_SESSION_EPOCH: the broker was started again, or has too many."""


class Portion(Struct, frozen=True, kw_only=True):
    """What came of one partition."""

    records: Sequence[Any]
    """With `offset`, `key`, `value` and `headers`; may be empty."""
    next_offset: int
    """Where the partition is read on."""
    end_offset: int
    """The offset that its next durable record will have."""


class _FetchInSession:
    """A request, as aiokafka's connections take it."""

    API_KEY: Final = FetchRequest_v7.API_KEY

    def __init__(self, session: int, epoch: int, offsets: Mapping[TopicPartition, int]) -> None:
        self._session = session
        self._epoch = epoch
        self._topics: dict[str, list[tuple[int, int, int, int]]] = {}
        for partition, offset in offsets.items():
            told = (partition.partition, offset, _CONSUMERS_START, _MOST_BYTES_OF_PARTITION)
            self._topics.setdefault(partition.topic, []).append(told)

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> FetchRequest_v7:
        """The request in words that the broker understands; raises IncompatibleBrokerVersion where there are none."""
        oldest, newest = versions[self.API_KEY]
        if not oldest <= FetchRequest_v7.API_VERSION <= newest:
            raise IncompatibleBrokerVersion("Kafka 1.1 or newer is needed.")
        limits = (_ANY_REPLICA, _WAIT_MILLISECONDS, _LEAST_BYTES, _MOST_BYTES, _UNCOMMITTED)
        return FetchRequest_v7(*limits, self._session, self._epoch, list(self._topics.items()), [])


class FetchSession:
    """The partitions of which one broker is the leader. To be used by one task, with a client of its own."""

    def __init__(self, client: AIOKafkaClient, node: int, offsets: Mapping[TopicPartition, int]) -> None:
        """`offsets` is where each partition is read from."""
        self._client = client
        self._node = node
        self._offsets = dict(offsets)
        self._untold = self._offsets.copy()
        self._id = 0
        self._epoch = 0

    async def next(self) -> Mapping[TopicPartition, Portion]:
        """What is new, as soon as there is something, or nothing after half a second.

        Raises KafkaError, such as OffsetOutOfRangeError for what was deleted and NotLeaderForPartitionError, and
        LogCorrupt; the session is of no use any more then.
        """
        response = await self._client.send(self._node, _FetchInSession(self._id, self._epoch, self._untold))
        if response.error_code in _SESSION_FORGOTTEN:
            self._begin()
            return {}
        _check(response.error_code)
        found: dict[TopicPartition, Portion] = {}
        for topic, partitions in response.topics:
            for number, code, end_offset, _, _, _, encoded in partitions:
                _check(code)
                partition = TopicPartition(topic, number)
                found[partition] = _portion(encoded, self._offsets[partition], end_offset)
        self._untold = {
            partition: portion.next_offset
            for partition, portion in found.items()
            if portion.next_offset != self._offsets[partition]
        }
        self._offsets |= self._untold
        if response.session_id == 0:  # the broker remembers as many sessions as it can, and this is none of them
            self._begin()
        else:
            self._id, self._epoch = response.session_id, self._epoch + 1
        return found

    def _begin(self) -> None:
        self._id = self._epoch = 0
        self._untold = self._offsets.copy()


def _check(code: int) -> None:
    if code:
        raise for_code(code)()


def _portion(encoded: bytes | None, offset: int, end_offset: int) -> Portion:
    """The broker sends whole batches: what stands before `offset` in the first is left out."""
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
    return Portion(records=found, next_offset=next_offset, end_offset=end_offset)
