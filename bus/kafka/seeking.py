"""Reading stretches of Kafka's partitions, wherever they lie: what no view holds is read from the log itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from aiokafka import TopicPartition
from msgspec import Struct

from bus.events import Recorded, Topic
from bus.kafka.client import KafkaClient
from bus.kafka.records import KafkaRecords, Place, offset_behind, position_of

Matches = Callable[[Mapping[str, bytes]], bool]
"""Whether the record with these headers is wanted; asked before its data is read."""


class Stretch(Struct, frozen=True, kw_only=True):
    """The wanted events of a stretch of one place."""

    events: list[Recorded]
    through: int
    """No wanted event between where it begins and this position is missing, but those that were deleted."""
    floor: int | None
    """Everything at or before this position was gone when it was read; None where nothing was read."""


class KafkaSeeker:
    """Reads by position. Every method raises LogUnavailable where the cluster does not answer in time."""

    def __init__(self, client: KafkaClient, names: Mapping[Topic, str], records: KafkaRecords) -> None:
        self._client = client
        self._names = names
        self._records = records

    async def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """The position of the newest event ever written to each."""
        wanted = self._partitions(places)
        # Kafka counts from 0 and names the next, or the first, offset: as numbers both are our positions.
        return {wanted[one]: offset for one, offset in (await self._client.next_offsets(wanted)).items()}

    async def floors(self, places: Iterable[Place]) -> dict[Place, int]:
        """Everything at or before these positions is gone."""
        wanted = self._partitions(places)
        return {wanted[one]: offset for one, offset in (await self._client.oldest_offsets(wanted)).items()}

    async def read(self, place: Place, *, after: int, through: int, limit: int, matches: Matches) -> Stretch:
        """Up to `limit` of the wanted events behind `after` and up to `through`, which the place is known to reach."""
        found: list[Recorded] = []
        floor: int | None = None
        partition = TopicPartition(self._names[place.topic], place.partition)
        offset = offset_behind(after)
        while offset < offset_behind(through):
            fetched = await self._client.fetch(partition, offset)
            floor, offset = fetched.oldest_offset, fetched.next_offset
            for record in fetched.records:
                if position_of(record.offset) > through:
                    break
                recorded = self._records.recorded(place, record, matches)
                if recorded is not None and not self._records.misplaced(recorded):
                    found.append(recorded)
                    if len(found) == limit:
                        return Stretch(events=found, through=recorded.position, floor=floor)
        return Stretch(events=found, through=through, floor=floor)

    def _partitions(self, places: Iterable[Place]) -> dict[TopicPartition, Place]:
        return {TopicPartition(self._names[place.topic], place.partition): place for place in places}
