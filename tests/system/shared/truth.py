"""What Kafka holds in the end, read by a consumer that is not Covey's, and folded as every reader folds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from bus.events import Recorded, Topic
from bus.fold import RequestState, fold
from bus.kafka.records import KafkaRecords, Place
from bus.sealing import PlainSealer, Sealer

_PLAIN = PlainSealer()


class Truth:
    """The requests of a log, by what happened to them."""

    def __init__(self, events: Sequence[Recorded]) -> None:
        self.states: dict[str, RequestState] = {}
        self.counted: dict[str, list[Recorded]] = {}
        """The events that count, by request, in the log's order."""
        for recorded in events:
            request_id = recorded.event.request_id
            if request_id is None:
                continue
            before = self.states.get(request_id)
            state = fold(before, recorded)
            if state is not None and state is not before:
                self.states[request_id] = state
                self.counted.setdefault(request_id, []).append(recorded)

    @property
    def endings(self) -> Counter[str]:
        """How many terminal events count for each request."""
        return Counter(
            request_id for request_id, events in self.counted.items() for one in events if one.event.terminal
        )

    def agrees(self, request_id: str, items: Sequence[Mapping[str, object]]) -> bool:
        """Whether a client that followed from the first event saw each once and in order, or was told of a Gap."""
        expected = [str(one.event.id) for one in self.counted[request_id]]
        seen = [item["id"] for item in items if item["__typename"] == "CoverageRequestEvent"]
        if items and items[-1]["__typename"] == "Gap":
            return seen == expected[: len(seen)]
        return seen == expected


async def records(kafka: str, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    """Everything in a topic now, each partition in its order."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=kafka, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        found: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {partition: [] for partition in partitions}
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for partition, batch in (await consumer.getmany(timeout_ms=500)).items():
                found[partition] += batch
        return [record for partition in partitions for record in found[partition]]
    finally:
        await consumer.stop()


async def truth(kafka: str, prefix: str, sealer: Sealer = _PLAIN) -> Truth:
    """Of the log whose topics have this prefix."""
    found = await records(kafka, f"{prefix}{Topic.RTE}")
    reading = KafkaRecords(dict.fromkeys(Topic, 1), sealer)
    events = [reading.recorded(Place(Topic.RTE, record.partition), record) for record in found]
    return Truth([recorded for recorded in events if recorded is not None])
