"""Single requests to Kafka's brokers, for what producers and consumers have no words for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from msgspec import Struct

from bus.errors import LogUnavailable
from bus.kafka.batches import check, decoded
from bus.kafka.metadata import TopicFacts, topic_facts
from bus.kafka.security import no_answer
from bus.kafka.starting import Starting

_ANSWER_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.05
_FETCH_BYTES: Final = 1024 * 1024
_NEWEST: Final = -1
_OLDEST: Final = -2


class Fetched(Struct, frozen=True, kw_only=True):
    """Neighbouring records of a partition."""

    records: Sequence[Any]
    """With `offset`, `key`, `value` and `headers`."""
    next_offset: int
    """Where to go on; nothing is missing before it but what was deleted."""
    oldest_offset: int
    """Of what the partition still holds."""


class KafkaClient:
    """Connects when it is first asked, and again after a failure. Methods raise LogUnavailable within seconds."""

    def __init__(self, options: Mapping[str, Any], names: Sequence[str]) -> None:
        """`options` are those of `client_options`; `names` are the topics it is asked about."""
        self._options = options
        self._names = tuple(names)
        self._client: AIOKafkaClient | None = None
        self._connecting = asyncio.Lock()
        self._starting = Starting()

    async def close(self) -> None:
        """Let go of all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        await self._starting.settle()

    async def topics(self) -> Mapping[str, TopicFacts]:
        """Those of its topics that exist."""

        async def ask(client: AIOKafkaClient) -> Mapping[str, TopicFacts]:
            return await topic_facts(client, self._names)

        found: Mapping[str, TopicFacts] = await self._asked(ask)
        return found

    async def next_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The offset that each partition's next record will have."""
        return await self._offsets(partitions, _NEWEST)

    async def oldest_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The offset of the oldest record that each partition still holds, or will hold."""
        return await self._offsets(partitions, _OLDEST)

    async def fetch(self, partition: TopicPartition, offset: int) -> Fetched:
        """The next records from `offset` on, as soon as there are any; none where nothing stands there but what is no
        record. Also raises LogCorrupt.
        """

        async def ask(client: AIOKafkaClient) -> Fetched:
            while True:
                request = FetchRequest(
                    0, 1, _FETCH_BYTES, 0, [(partition.topic, [(partition.partition, offset, _FETCH_BYTES)])]
                )
                response = await client.send(_leader(client, partition), request)
                [(_, [(_, code, _, _, oldest, *_, encoded)])] = response.topics
                if code == OffsetOutOfRangeError.errno and oldest < 0:
                    oldest = (await self._offsets_of(client, [partition], _OLDEST))[partition]
                if code == OffsetOutOfRangeError.errno and offset < oldest:
                    return Fetched(records=(), next_offset=oldest, oldest_offset=oldest)
                check(code)
                found = decoded(encoded, offset)
                if found.next_offset > offset:
                    return Fetched(records=found.records, next_offset=found.next_offset, oldest_offset=oldest)
                await asyncio.sleep(_PAUSE_SECONDS)

        fetched: Fetched = await self._asked(ask)
        return fetched

    async def _offsets(self, partitions: Iterable[TopicPartition], which: int) -> Mapping[TopicPartition, int]:
        wanted = list(partitions)

        async def ask(client: AIOKafkaClient) -> Mapping[TopicPartition, int]:
            return await self._offsets_of(client, wanted, which)

        offsets: Mapping[TopicPartition, int] = await self._asked(ask)
        return offsets

    async def _offsets_of(
        self, client: AIOKafkaClient, partitions: Sequence[TopicPartition], which: int
    ) -> Mapping[TopicPartition, int]:
        by_leader: dict[int, dict[str, list[tuple[int, int]]]] = {}
        for partition in partitions:
            topics = by_leader.setdefault(_leader(client, partition), {})
            topics.setdefault(partition.topic, []).append((partition.partition, which))
        found: dict[TopicPartition, int] = {}
        for leader, topics in by_leader.items():
            response = await client.send(leader, OffsetRequest(-1, 0, list(topics.items())))
            for topic, facts in response.topics:
                for number, code, _, offset in facts:
                    check(code)
                    found[TopicPartition(topic, number)] = offset
        return found

    async def _asked(self, ask: Any) -> Any:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while True:
                    client = await self._connected()
                    try:
                        return await ask(client)
                    except KafkaError as error:
                        if not error.retriable:
                            raise
                        # Leaders move: ask anew who leads.
                        await client.force_metadata_update()
                        await asyncio.sleep(_PAUSE_SECONDS)
        except (KafkaError, OSError) as error:  # TimeoutError is one
            raise LogUnavailable(f"Kafka does not answer now ({type(error).__name__}).") from error

    async def _connected(self) -> AIOKafkaClient:
        async with self._connecting:
            if self._client is None:
                client = AIOKafkaClient(**self._options, request_timeout_ms=round(_ANSWER_SECONDS * 1000))
                try:
                    await self._starting.start(client.bootstrap, client.close)
                except (KafkaError, OSError) as error:
                    raise no_answer(self._options) from error
                self._client = client
                await client.set_topics(self._names)
            return self._client


def _leader(client: AIOKafkaClient, partition: TopicPartition) -> int:
    leader: int | None = client.cluster.leader_for_partition(partition)
    if leader is None or leader < 0:
        raise LeaderNotAvailableError
    return leader
