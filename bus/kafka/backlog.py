"""`rte.events` on Kafka from end to end, for filling views: by consumers of its own, beside the readers that serve."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from bus.backlog import Through
from bus.errors import LogUnavailable
from bus.events import Recorded, Topic
from bus.kafka.log import KafkaLog
from bus.kafka.records import Place, offset_behind, position_of
from bus.kafka.security import KafkaLink, client_options
from bus.kafka.topics import topic_name
from bus.log import Span

_BATCH_EVENTS: Final = 500
_POLL_MILLISECONDS: Final = 1_000
_SILENT_POLLS: Final = 5
"""What is asked for exists: a consumer that brings none of it for so long is given up."""
_REQUEST_MILLISECONDS: Final = 5_000


class KafkaBacklog:
    """A `Backlog` (bus/backlog.py)."""

    def __init__(self, link: KafkaLink, log: KafkaLog, *, prefix: str = "") -> None:
        """`prefix` begins the names of the topics."""
        self._options = client_options(link)
        self._log = log
        self._topic = topic_name(Topic.RTE, prefix)

    async def spans(self) -> Mapping[int, Span]:
        floors, ends = await self._log.floors(), await self._log.ends()
        return {
            place.partition: Span(floor=floors[place], end=end)
            for place, end in ends.items()
            if place.topic is Topic.RTE
        }

    async def read(self, partition: int, *, after: int, through: Through) -> AsyncGenerator[Sequence[Recorded], None]:
        if after >= through():
            return
        records, place = self._log.records, Place(Topic.RTE, partition)
        source = TopicPartition(self._topic, partition)
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            request_timeout_ms=_REQUEST_MILLISECONDS,
        )
        try:
            await consumer.start()
            consumer.assign([source])
            consumer.seek(source, offset_behind(after))
            silent = 0
            while after < through():
                found = await consumer.getmany(timeout_ms=_POLL_MILLISECONDS, max_records=_BATCH_EVENTS)
                batch = found.get(source, [])
                silent = 0 if batch else silent + 1
                if silent == _SILENT_POLLS:
                    raise LogUnavailable("Kafka does not bring what it says it has.")
                if not batch:
                    continue
                after = position_of(batch[-1].offset)
                decoded = (records.recorded(place, record) for record in batch)
                events = [one for one in decoded if one is not None and not records.misplaced(one)]
                if events:
                    yield events
        except KafkaError as error:
            raise LogUnavailable("Kafka cannot be read now.") from error
        finally:
            await consumer.stop()
