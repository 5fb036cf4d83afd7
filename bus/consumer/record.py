"""What a consumer needs of Kafka: records out, records in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

Headers = Sequence[tuple[str, bytes]]


class Partition(NamedTuple):
    """One order of records; equal to, and hashed as, the client's own pair."""

    topic: str
    partition: int


class Record(Protocol):
    """One record as it was read; aiokafka's has this shape."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Standing(Struct, frozen=True, kw_only=True):
    """Where the reading of a partition stands."""

    position: int | None
    """The offset that is read next; None where the client cannot even tell."""
    end: int
    """The offset that the partition's next record will have."""


class Holder(Protocol):
    """Holds the partitions of a source for as long as they are its own."""

    def assign(self, partitions: Collection[Partition]) -> None:
        """These are ours from now on, beside those that are already."""
        ...

    async def release(self) -> Mapping[Partition, int]:
        """End the work on every partition; what to commit before they go to another consumer."""
        ...


class Source(Protocol):
    """One member of a consumer group, from `start` to `close`. Every method may raise LogUnavailable."""

    async def start(self, holder: Holder) -> None:
        """Join the group; tell the holder what comes and goes. Raises TopicsMissing."""
        ...

    async def poll(self, *, seconds: float, room: int) -> Mapping[Partition, Sequence[Record]]:
        """Up to `room` (at least 1) records of partitions that are not paused, as soon as there are any."""
        ...

    def pause(self, partitions: Collection[Partition]) -> None:
        """Read only from the others, until told again."""
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Offsets to read next after a restart; never while an earlier commit is under way."""
        ...

    async def standings(self, partitions: Collection[Partition]) -> Mapping[Partition, Standing]:
        """Of those of the partitions that are still ours."""
        ...

    async def close(self) -> None:
        """Leave the group. Returns within seconds, and raises nothing, whatever became of Kafka."""
        ...


class Sink(Protocol):
    """Where retries and dead letters are written."""

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Return once the record is durable. Raises LogUnavailable where it may not be."""
        ...
