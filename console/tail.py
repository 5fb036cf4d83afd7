"""`covey tail`: the log as it grows, one line an event, also while a server writes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

from bus.clock import SystemClock
from bus.events import Recorded, Topic, encode_data
from bus.kafka.backlog import KafkaBacklog
from bus.kafka.log import KafkaLog
from bus.kafka.reader import KafkaReader
from bus.metrics import Metrics
from bus.sqlite.reader import SqliteLogReader
from console.errors import WorkFailed
from settings import Settings
from wiring.foundation import sealer_of
from wiring.shared import kafka_link

_BATCH_EVENTS: Final = 256

Tell = Callable[[Recorded], None]
Say = Callable[[str], None]


async def tail(
    settings: Settings,
    *,
    topic: Topic | None,
    after: int | None,
    with_data: bool,
    write: Callable[[str], None],
    say: Say,
) -> None:
    """Write every event of one topic or of all behind `after` (behind the log's end when None), for ever.

    `say` hears once what is followed, since there may be no event for long.
    Topics, and Kafka's partitions, are told side by side: each in its own order. Raises LogUnavailable, LogCorrupt,
    WorkFailed.
    """
    topics = [topic] if topic else list(Topic)

    def tell(recorded: Recorded) -> None:
        write(line(recorded, with_data=with_data))

    await (_kafka if settings.shared else _file)(settings, topics, after, tell, say)


async def _file(settings: Settings, topics: Sequence[Topic], after: int | None, tell: Tell, say: Say) -> None:
    path = settings.log_path
    if not path.exists():
        raise WorkFailed(f"There is no log at {path} yet. Start a server there first, or set COVEY_DATA or COVEY_LOG.")
    log = await SqliteLogReader.open_for_reading(path, clock=SystemClock(), sealer=sealer_of(settings))
    say(f"Following {path}; Ctrl-C ends.")

    async def follow(topic: Topic) -> None:
        position = await log.end(topic) if after is None else after
        while True:
            for recorded in await log.read(topic, after=position, limit=_BATCH_EVENTS):
                tell(recorded)
                position = recorded.position
            await log.wait_beyond(topic, position)

    try:
        await asyncio.gather(*(follow(each) for each in topics))
    finally:
        await log.close()


async def _kafka(settings: Settings, topics: Sequence[Topic], after: int | None, tell: Tell, say: Say) -> None:
    link, clock, metrics, prefix = kafka_link(settings), SystemClock(), Metrics(), settings.topic_prefix
    log = await KafkaLog.open(link, clock=clock, metrics=metrics, sealer=sealer_of(settings), prefix=prefix)
    say(f"Following Kafka at {', '.join(link.servers)}; Ctrl-C ends.")
    try:
        if after is not None:
            await _told_until_now(log, KafkaBacklog(link, log, prefix=prefix), topics, after, tell)
        async with KafkaReader(link, log, [_Telling(topics, tell)], metrics, clock, prefix=prefix):
            await asyncio.Event().wait()
    finally:
        await log.close()


async def _told_until_now(
    log: KafkaLog, backlog: KafkaBacklog, topics: Sequence[Topic], after: int, tell: Tell
) -> None:
    """What stands in front of where the reader begins."""
    for place, end in log.places.items():
        if place.topic is Topic.RTE and Topic.RTE in topics:
            floor = (await backlog.spans())[place.partition].floor
            reading = backlog.read(place.partition, after=max(after, floor), through=partial(int, end))
            async with aclosing(reading) as batches:
                async for batch in batches:
                    for recorded in batch:
                        if recorded.position <= end:  # what is behind comes from the reader
                            tell(recorded)
        elif place.topic in topics:
            position = after
            while batch := await log.read_payers(after=position, limit=_BATCH_EVENTS):
                for recorded in batch:
                    tell(recorded)
                position = batch[-1].position


class _Telling:
    """A sink that tells of events of some topics."""

    def __init__(self, topics: Sequence[Topic], tell: Tell) -> None:
        self._topics = frozenset(topics)
        self._tell = tell

    async def take(self, batch: Sequence[Recorded]) -> None:
        """See Sink."""
        for recorded in batch:
            if recorded.event.topic in self._topics:
                self._tell(recorded)


def line(recorded: Recorded, *, with_data: bool) -> str:
    """Position, time, type, subject and attempt; behind them the data as JSON where it was asked for."""
    event = recorded.event
    parts = [
        f"{recorded.position:>8}",
        event.time.isoformat(timespec="milliseconds"),
        f"{event.type:<14}",
        event.subject,
        f"attempt {event.attempt}" if event.attempt else "",
        encode_data(event.data).decode() if with_data else "",
    ]
    return "  ".join(part for part in parts if part)
