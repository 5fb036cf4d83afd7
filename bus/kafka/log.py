"""The log of many instances: Kafka, which refuses nothing; the fold tells what counts (docs/decisions/0009)."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final, Self

import structlog

from bus.clock import Clock
from bus.errors import LogUnavailable
from bus.events import Event, Recorded, Topic
from bus.history import MemberHistory
from bus.ids import MemberId, RequestId, TenantId
from bus.kafka.client import KafkaClient
from bus.kafka.layout import Layout, LayoutObserver
from bus.kafka.reading import KafkaReading
from bus.kafka.records import KafkaRecords, Message, Place
from bus.kafka.security import KafkaLink, client_options
from bus.kafka.seeking import KafkaSeeker
from bus.kafka.tail import KafkaTail
from bus.kafka.topics import topic_configs, topic_name
from bus.kafka.verdicts import Verdicts
from bus.kafka.writer import KafkaWriter
from bus.log import Span
from bus.metrics import Metrics
from bus.sealing import PlainSealer, Sealer

_TAIL_EVENTS: Final = 60_000
"""Three for each client of a full instance: after a cut they resume from here, at half of what a round trip costs."""
_TAIL_BYTES: Final = 32 * 1024 * 1024
"""Of data as JSON; as objects it takes several times that."""
_LOOK_SECONDS: Final = 2.0
_LOOK_AGAIN_SECONDS: Final = 0.2
"""While Kafka is away: a look then takes 3 s of its own, and what is asked meanwhile is refused."""

_logger = structlog.get_logger(__name__)


class KafkaLog:
    """An `EventLog`. It knows what is new by a `KafkaReader`, which hands everything to `take` first."""

    def __init__(
        self,
        *,
        client: KafkaClient,
        layout: Layout,
        observer: LayoutObserver,
        records: KafkaRecords,
        writer: KafkaWriter,
        seeker: KafkaSeeker,
        reading: KafkaReading,
        tail: KafkaTail,
        least_in_sync: Mapping[Topic, int],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """To be made by `open`."""
        self._client = client
        self._epoch = layout.epoch
        self._layout = layout
        self._observer = observer
        self.records = records
        self._writer = writer
        self._seeker = seeker
        self._reading = reading
        self._tail = tail
        self._verdicts = Verdicts(reading, tail)
        self._least_in_sync = least_in_sync
        self._clock = clock
        self._metrics = metrics
        self._refusal: str | None = None
        self._away: str | None = None
        self._appends: set[asyncio.Task[Sequence[Recorded | None]]] = set()
        self._watch = asyncio.create_task(self._observe(), name="kafka layout")

    @classmethod
    async def open(
        cls,
        link: KafkaLink,
        *,
        clock: Clock,
        metrics: Metrics,
        sealer: Sealer | None = None,
        history: Callable[[str], MemberHistory] | None = None,
        prefix: str = "",
    ) -> Self:
        """Open the topics that `create_topics` made. `prefix` begins their names.

        `history` makes the view of the epoch it is given. Without it everything older than this process is looked for
        in Kafka itself, which is slow. Raises LogUnavailable.
        """
        options = client_options(link)
        names = {topic: topic_name(topic, prefix) for topic in Topic}
        async with AsyncExitStack() as undo:
            client = KafkaClient(options, list(names.values()))
            undo.push_async_callback(client.close)
            observer = LayoutObserver(client, names)
            layout = await observer.look()
            configs = await topic_configs(link, list(names.values()))
            records = KafkaRecords(layout.partitions, sealer or PlainSealer())
            seeker = KafkaSeeker(client, names, records)
            ends, floors = await seeker.ends(layout.places), await seeker.floors(layout.places)
            tail = KafkaTail(ends, max_events=_TAIL_EVENTS, max_bytes=_TAIL_BYTES)
            undo.pop_all()
        return cls(
            client=client,
            layout=layout,
            observer=observer,
            records=records,
            writer=KafkaWriter(
                options, names, {topic: int(configs[name]["max.message.bytes"]) for topic, name in names.items()}
            ),
            seeker=seeker,
            reading=KafkaReading(
                records=records,
                seeker=seeker,
                tail=tail,
                history=history and history(layout.epoch),
                ends=ends,
                floors=floors,
            ),
            tail=tail,
            least_in_sync={topic: int(configs[name]["min.insync.replicas"]) for topic, name in names.items()},
            clock=clock,
            metrics=metrics,
        )

    async def close(self) -> None:
        """Let what is under way end, and refuse the rest. After its reader."""
        self._refusal = self._refusal or "The log was closed."
        self._watch.cancel()
        await asyncio.wait({self._watch})
        if self._appends:
            await asyncio.wait(self._appends)
        await self._writer.close()
        await self._client.close()

    @property
    def epoch(self) -> str:
        return self._epoch

    @property
    def refusal(self) -> str | None:
        """Why this log takes and gives nothing any more; None while it does. A new one has to be opened."""
        return self._refusal

    @property
    def places(self) -> Mapping[Place, int]:
        """Every order of events, and how far this process has read it: where a reader begins."""
        return {place: self._tail.reached(place) for place in self._layout.places}

    async def ends(self) -> Mapping[Place, int]:
        """Where every order ends now, as Kafka says. Raises LogUnavailable."""
        self._refuse_away()
        return await self._seeker.ends(self._layout.places)

    async def floors(self) -> Mapping[Place, int]:
        """Everything at or before these is gone, as Kafka says now. Raises LogUnavailable."""
        self._refuse_away()
        return await self._seeker.floors(self._layout.places)

    async def take(self, place: Place, batch: Sequence[Recorded], reached: int) -> None:
        """As the first sink of the reader: the next events of a place, and how far it was read with them."""
        await self._tail.take(batch)
        self._tail.reach(place, reached)
        self._reading.advance(place, reached)

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        """As the port says, but for what Kafka cannot do: events of several members are not one step, and on
        LogUnavailable some may be in the log. Writing them again does no harm: the fold counts the first.
        """
        self._refuse_away()
        if not events:
            await self._look()
            for place in self._layout.places:
                self._refuse_unreadable(place.topic)
                self._refuse_unwritable(place)
            return []
        messages = [self.records.message(event) for event in events]
        for message in messages:
            self._refuse_unwritable(message.place)
        # A caller that goes away takes nothing back, nor leaves half of it unwritten.
        task = asyncio.create_task(self._append(events, messages, ids_are_new), name="kafka append")
        self._appends.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def read_member(
        self, tenant_id: TenantId, member_id: MemberId, *, after: int, limit: int
    ) -> Sequence[Recorded]:
        self._refuse()
        place = self.records.member_place(tenant_id, member_id)
        return await self._reading.of_member(place, tenant_id, member_id, after=after, limit=limit)

    async def member_span(self, tenant_id: TenantId, member_id: MemberId, *, reaching: int = 0) -> Span:
        self._refuse()
        return await self._reading.span(self.records.member_place(tenant_id, member_id), reaching)

    async def read_request(self, request_id: RequestId, *, after: int = 0) -> Sequence[Recorded]:
        self._refuse()
        return await self._reading.of_request(request_id, after=after)

    def beginning(self, request_id: RequestId) -> Recorded | None:
        return self._tail.beginning(request_id)

    def of_request(self, request_id: RequestId) -> Sequence[Recorded] | None:
        """All its events, as far as this process has read; None unless it holds them from the first on in memory."""
        return self._tail.of_request(request_id)

    def newest_of_request(self, request_id: RequestId) -> Sequence[Recorded]:
        """Its events among those that this process holds in memory; without a wait."""
        return self._tail.newest_of_request(request_id)

    def newest_of_member(self, tenant_id: TenantId, member_id: MemberId) -> Sequence[Recorded]:
        """As `newest_of_request`, of a member."""
        return self._tail.newest_of_member(tenant_id, member_id)

    async def read_payers(self, *, after: int, limit: int) -> Sequence[Recorded]:
        self._refuse()
        return await self._reading.of_payers(after=after, limit=limit)

    async def payers_span(self, *, reaching: int = 0) -> Span:
        self._refuse()
        return await self._reading.span(Place(Topic.PAYER, 0), reaching)

    async def latest_per_payer(self) -> Sequence[Recorded]:
        self._refuse()
        return await self._reading.latest_per_payer()

    async def _append(
        self, events: Sequence[Event], messages: Sequence[Message], ids_are_new: bool
    ) -> Sequence[Recorded | None]:
        async with self._verdicts.asked(events, ids_are_new=ids_are_new) as verdicts:
            begun = self._clock.monotonic()
            offsets = await self._writer.write(messages)
            recorded = [
                Recorded(position=offset + 1, event=event, partition=message.place.partition)
                for event, message, offset in zip(events, messages, offsets, strict=True)
            ]
            self._metrics.append_seconds.observe(self._clock.monotonic() - begun)
            for one in recorded:
                self._reading.advance(Place(one.event.topic, one.partition), one.position)
            counts = await verdicts(recorded)
        return [one if counted else None for one, counted in zip(recorded, counts, strict=True)]

    def _ended(self, task: asyncio.Task[Sequence[Recorded | None]]) -> None:
        self._appends.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked was told, unless they have gone

    def _refuse(self) -> None:
        if self._refusal is not None:
            raise LogUnavailable(self._refusal)

    def _refuse_away(self) -> None:
        """At once what asks Kafka and would wait in vain: it did not answer the last look, and is looked for again."""
        self._refuse()
        if self._away is not None:
            raise LogUnavailable(self._away)

    def _refuse_unreadable(self, topic: Topic) -> None:
        facts = self._layout.facts[topic]
        if not facts.readable:
            raise LogUnavailable(f"Kafka does not let this account read {facts.name}: give it `Read`.")

    def _refuse_unwritable(self, place: Place) -> None:
        """At once what could only wait for its deadline, and what waited would hinder."""
        topic = self._layout.facts[place.topic]
        if not topic.writable:
            raise LogUnavailable(f"Kafka does not let this account write to {topic.name}: give it `Write`.")
        facts = topic.partitions[place.partition]
        if facts.leader < 0:
            raise LogUnavailable("Kafka has no broker for this part of the log now.")
        if facts.in_sync < self._least_in_sync[place.topic]:
            raise LogUnavailable("Kafka has too few copies of this part of the log in sync now.")

    def _note(self, layout: Layout) -> None:
        if layout.epoch == self._epoch:
            self._layout = layout
        elif self._refusal is None:
            self._refusal = "Kafka's topics were changed or made anew: this process has to start again."
            _logger.error("kafka topics changed", partitions=dict(layout.partitions))
        self._refuse()

    async def _look(self) -> None:
        """The look itself tells whether Kafka is away: other questions fail for single partitions too."""
        try:
            layout = await self._observer.look()
        except Exception as error:
            self._away = str(error) if isinstance(error, LogUnavailable) else None
            raise
        self._away = None
        self._note(layout)

    async def _observe(self) -> None:
        """Notice a changed layout, missing leaders, and what was deleted."""
        while self._refusal is None:
            await self._clock.sleep(_LOOK_SECONDS if self._away is None else _LOOK_AGAIN_SECONDS)
            try:
                await self._look()
                await self._reading.look_up_floors()
            except LogUnavailable as error:
                _logger.warning("kafka_away", reason=str(error))
            except Exception as error:
                # Nobody else would notice that the topics changed. To end the process would end all of them, for the
                # same reason at the same time; what was seen last goes on holding, and the next look may succeed.
                frames = traceback.format_tb(error.__traceback__)
                _logger.error("kafka_not_observed", error=type(error).__name__, frames=frames)
                self._metrics.internal_errors.labels("kafka").inc()
