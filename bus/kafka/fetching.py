"""Reading on from one broker: what is new in many partitions, at the price of what is new.

aiokafka's consumer names every partition in every request and is answered about each; with 48 of them that costs more
than the events do. Here the broker remembers what is read (a fetch session, KIP-227): a request names the partitions
that moved, an answer those that have something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import IncompatibleBrokerVersion, for_code
from aiokafka.protocol.fetch import FetchRequest_v7
from msgspec import Struct

from bus.kafka.batches import check, decoded
from bus.kafka.records import Place, position_of

_WAIT_MILLISECONDS: Final = 500
_LEAST_BYTES: Final = 1
_MOST_BYTES: Final = 1024 * 1024
_MOST_BYTES_OF_PARTITION: Final = 256 * 1024
"""Kafka sends a larger event all the same."""
_ANY_REPLICA: Final = -1
_UNCOMMITTED: Final = 0
_CONSUMERS_START: Final = -1
_OWN_CONNECTION: Final = ConnectionGroup.COORDINATION
"""A broker answers a connection's requests one after the other, and a fetch may wait: others must not wait behind it.
aiokafka knows two connections to each broker; the second is meant for groups of consumers, and this is none."""
_BATCH_EVENTS: Final = 512
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


class LeaderMoved(Exception):
    """The broker that was asked does not lead these partitions, or not any more."""

    def __init__(self, partitions: frozenset[TopicPartition]) -> None:
        super().__init__(f"{len(partitions)} partitions have another leader.")
        self.partitions = partitions


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
    """The partitions of which one broker is the leader. To be used by one task; those of one client and broker share a
    connection, so that there should be one at a time.
    """

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

        Raises KafkaError, such as OffsetOutOfRangeError for what was deleted, LeaderMoved and LogCorrupt; the session
        is of no use any more then.
        """
        request = _FetchInSession(self._id, self._epoch, self._untold)
        response = await self._client.send(self._node, request, group=_OWN_CONNECTION)
        if response.error_code in _SESSION_FORGOTTEN:
            self._begin()
            return {}
        check(response.error_code)
        _check_leader(response.topics)
        found: dict[TopicPartition, Portion] = {}
        for topic, partitions in response.topics:
            for number, code, end_offset, _, _, _, encoded in partitions:
                check(code)
                partition = TopicPartition(topic, number)
                records, next_offset = decoded(encoded, self._offsets[partition])
                found[partition] = Portion(records=records, next_offset=next_offset, end_offset=end_offset)
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


class Stretch(NamedTuple):
    """Neighbouring records of a place."""

    place: Place
    records: Sequence[Any]
    reached: int
    """The position that the place was read to with them."""


def in_batches(portions: Mapping[Place, Portion]) -> Iterator[list[Stretch]]:
    """Stretches of several places together, so many that the loop serves others in between."""
    batch: list[Stretch] = []
    for place, portion in portions.items():
        records = portion.records
        for first in range(0, len(records), _BATCH_EVENTS):
            some = records[first : first + _BATCH_EVENTS]
            batch.append(Stretch(place, some, position_of(some[-1].offset)))
            if sum(len(stretch.records) for stretch in batch) >= _BATCH_EVENTS:
                yield batch
                batch = []
        behind = position_of(portion.next_offset - 1)
        if not records or position_of(records[-1].offset) < behind:  # what stands between is no event
            batch.append(Stretch(place, (), behind))
    if batch:
        yield batch


def _check_leader(topics: Sequence[Any]) -> None:
    moved = frozenset(
        TopicPartition(topic, number)
        for topic, partitions in topics
        for number, code, *_ in partitions
        if for_code(code).invalid_metadata
    )
    if moved:
        raise LeaderMoved(moved)
