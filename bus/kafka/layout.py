"""How the log lies in Kafka: its topics and their partitions; and noticing that it changed."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bus.errors import LogUnavailable
from bus.events import Topic
from bus.ids import derived_id
from bus.kafka.client import KafkaClient
from bus.kafka.metadata import TopicFacts
from bus.kafka.records import Place


class Layout(Struct, frozen=True, kw_only=True):
    """The topics as they were when this process opened them."""

    facts: Mapping[Topic, TopicFacts]

    @property
    def epoch(self) -> str:
        """Another one if a topic was deleted and made again, or has more partitions: positions mean something else."""
        parts = [(facts.id, str(len(facts.partitions))) for _, facts in sorted(self.facts.items())]
        return derived_id(*(text for part in parts for text in part))

    @property
    def partitions(self) -> Mapping[Topic, int]:
        """How many of each topic are used: of `payer.events` the first, for all payers stand in one order."""
        return {topic: 1 if topic is Topic.PAYER else len(facts.partitions) for topic, facts in self.facts.items()}

    @property
    def places(self) -> tuple[Place, ...]:
        """Every order of events."""
        return tuple(Place(topic, number) for topic, count in self.partitions.items() for number in range(count))


class LayoutObserver:
    """Asks the cluster about the log's topics."""

    def __init__(self, client: KafkaClient, names: Mapping[Topic, str]) -> None:
        self._client = client
        self._names = names

    async def look(self) -> Layout:
        """The topics as they are now. Raises LogUnavailable."""
        found = await self._client.topics()
        missing = [name for name in self._names.values() if name not in found]
        if missing:
            raise LogUnavailable(f"Kafka has no topic {', '.join(missing)}: `covey topics create` makes it.")
        return Layout(facts={topic: found[name] for topic, name in self._names.items()})
