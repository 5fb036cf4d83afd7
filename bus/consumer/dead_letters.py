"""Dead letters as operators see them: which there are, what they say, and sending them back to their group.

A letter that was sent back stays in its topic until Kafka deletes it; a mark behind it tells that it is settled.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.structs import TopicPartition
from msgspec import Struct, structs

from bus.consumer import letters
from bus.consumer.errors import DeadLetterUnknown
from bus.consumer.kafka_sink import KafkaSink
from bus.consumer.letters import Letter, LetterUnreadable
from bus.consumer.names import GroupTopics, group_topics_of
from bus.consumer.record import Headers
from bus.errors import LogUnavailable
from bus.kafka.security import KafkaLink, client_options, no_answer

_PLACE: Final = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>\d{1,9})/(?P<offset>\d{1,18})")
_POLL_MILLISECONDS: Final = 500


class LetterPlace(Struct, frozen=True, order=True):
    """Where a dead letter stands; written `topic/partition/offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for what is not written so, or in another topic than one of dead letters."""
        match = _PLACE.fullmatch(text)
        if match is None or group_topics_of(match["topic"]) is None:
            raise ValueError(f"{text!r} names no dead letter; they are listed as TOPIC/PARTITION/OFFSET.")
        return cls(match["topic"], int(match["partition"]), int(match["offset"]))


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One event that a group gave up, with what it said about it."""

    place: LetterPlace
    letter: Letter
    type: str
    subject: str
    """A request id, a call id or a payer id; empty where the record was no event."""
    key: bytes | None
    value: bytes | None
    headers: Headers


class DeadLetters:
    """Reads and settles dead letters over one connection. Every method may raise LogUnavailable."""

    def __init__(self, metadata: Any, client: Any, sink: KafkaSink) -> None:
        self._metadata = metadata
        self._client = client
        self._sink = sink

    @classmethod
    @asynccontextmanager
    async def open(cls, link: KafkaLink) -> AsyncIterator[Self]:
        """Raises LogUnavailable."""
        options = client_options(link)
        metadata = AIOKafkaClient(**options)
        client = AIOKafkaConsumer(**options, enable_auto_commit=False, auto_offset_reset="earliest", group_id=None)
        sink = KafkaSink(link)
        try:
            await metadata.bootstrap()
            await client.start()
            yield cls(metadata, client, sink)
        except KafkaConnectionError as error:
            raise no_answer(options) from error
        except KafkaError as error:
            raise LogUnavailable(f"Kafka cannot be read ({type(error).__name__}).") from error
        finally:
            await sink.close()
            await client.stop()
            await metadata.close()

    async def list(self, *, prefix: str = "", group: str | None = None) -> Sequence[DeadLetter]:
        """Those that were not sent back, oldest first within a partition: of one group, or of all whose topics' names
        begin so. Without their values: they may be many.
        """
        wanted = [
            each
            for each in await self._partitions()
            if each.topic.startswith(prefix)
            and (own := group_topics_of(each.topic)) is not None
            and (group is None or own.group == group)
        ]
        found: dict[LetterPlace, DeadLetter] = {}
        async for record in self._records(wanted):
            settled = letters.settled_by(record.headers)
            if settled is not None:
                found.pop(LetterPlace(record.topic, record.partition, settled), None)
            elif (dead := _dead_letter(record)) is not None:
                found[dead.place] = structs.replace(dead, value=None)
        return [found[place] for place in sorted(found)]

    async def get(self, place: LetterPlace) -> DeadLetter:
        """One dead letter. Raises DeadLetterUnknown, also where it was sent back."""
        found: DeadLetter | None = None
        wanted = [each for each in await self._partitions() if each == (place.topic, place.partition)]
        async for record in self._records(wanted, start=place.offset):
            if record.offset == place.offset:
                found = _dead_letter(record)
            elif letters.settled_by(record.headers) == place.offset:
                raise DeadLetterUnknown(f"{place} was sent back already.")
        if found is None:
            raise DeadLetterUnknown(f"There is no dead letter {place}, or no longer.")
        return found

    async def send_back(self, place: LetterPlace) -> None:
        """Let the group handle the event again, with all its attempts: at least once. Raises DeadLetterUnknown."""
        dead = await self.get(place)
        own = GroupTopics(dead.letter.origin.topic, dead.letter.group)
        again = structs.replace(dead.letter, attempts=0, due=datetime.now(UTC))
        headers = letters.write(dead.headers, again)
        await self._sink.send(own.retry(0), key=dead.key, value=dead.value, headers=headers)
        await self._sink.send(
            place.topic, key=dead.key, value=None, headers=letters.settlement(place.offset), partition=place.partition
        )

    async def _partitions(self) -> Sequence[TopicPartition]:
        """Every partition of the cluster."""
        cluster = await self._metadata.fetch_all_metadata()
        return [
            TopicPartition(topic, number)
            for topic in sorted(cluster.topics())
            for number in sorted(cluster.partitions_for_topic(topic) or ())
        ]

    async def _records(
        self, partitions: Sequence[TopicPartition], *, start: int | None = None
    ) -> AsyncIterator[ConsumerRecord]:
        """Everything that is in the partitions now, from offset `start` on where it is given."""
        if not partitions:
            return
        self._client.assign(partitions)
        ends = await self._client.end_offsets(partitions)
        for each in partitions:
            await self._client.seek_to_beginning(each)
            if start is not None and await self._client.position(each) < start:
                self._client.seek(each, start)
        while any([await self._client.position(each) < end for each, end in ends.items()]):
            for batch in (await self._client.getmany(timeout_ms=_POLL_MILLISECONDS)).values():
                for record in batch:
                    yield record


def _dead_letter(record: ConsumerRecord) -> DeadLetter | None:
    try:
        letter = letters.read(record.headers)
    except LetterUnreadable:
        return None
    attributes = {name: value.decode(errors="replace") for name, value in letters.own(record.headers)}
    return DeadLetter(
        place=LetterPlace(record.topic, record.partition, record.offset),
        letter=letter,
        type=attributes.get("ce_type", ""),
        subject=attributes.get("ce_subject", ""),
        key=record.key,
        value=record.value,
        headers=letters.own(record.headers),
    )
