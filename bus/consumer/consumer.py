"""The consumer that services run: reads as one of a group, has events handled, commits, and is made anew if stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final, TypeVar

import structlog

from bus.clock import Clock
from bus.consumer.attempts import Attempts
from bus.consumer.engine import Engine
from bus.consumer.gate import Gate
from bus.consumer.handlers import Handlers
from bus.consumer.metrics import ConsumerMetrics
from bus.consumer.record import Sink, Source
from bus.consumer.retries import Retries
from bus.consumer.seen import Seen
from bus.consumer.stop_rule import DeadLetterLimit, StopReason, StopRule
from bus.consumer.tuning import Tuning
from bus.consumer.watchdog import Watchdog
from bus.errors import LogUnavailable
from bus.kafka.records import KafkaRecords
from bus.sealing import Sealer

log = structlog.get_logger(__name__)

T = TypeVar("T")

_ROOM_SECONDS: Final = 0.2
"""How long a poll is put off for room to come, before partitions are paused instead."""
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)


class Consumer:
    """One member of a consumer group. `run` it in a task; `stop` ends it gently.

    Every event of a handled type is handled at least once; `docs/consumers.md` tells what else is promised.
    """

    def __init__(
        self,
        *,
        group: str,
        handlers: Handlers,
        new_source: Callable[[], Source],
        sink: Sink,
        retry_topics: Collection[str],
        sealer: Sealer,
        clock: Clock,
        metrics: ConsumerMetrics,
        retries: Retries,
        limit: DeadLetterLimit,
        tuning: Tuning,
    ) -> None:
        self._group = group
        self._new_source = new_source
        self._clock = clock
        self._metrics = metrics
        self._tuning = tuning
        self._gate = Gate(metrics.halted.labels(group))
        self._rule = StopRule(limit)
        self._engine = Engine(
            group=group,
            handlers=handlers,
            attempts=Attempts(
                group=group,
                retries=retries,
                rule=self._rule,
                gate=self._gate,
                seen=Seen(tuning.remembered),
                sink=sink,
                records=KafkaRecords({}, sealer),
                clock=clock,
                metrics=metrics,
            ),
            retry_topics=retry_topics,
            tuning=tuning,
            clock=clock,
            metrics=metrics,
        )
        self._poll_gap = metrics.poll_gap_seconds.labels(group)
        self._stopping = asyncio.Event()
        self._progress = False

    @property
    def halted(self) -> StopReason | None:
        """Why it stands still: which limit on dead letters it reached. None while it does not."""
        return self._gate.halted

    def pause(self) -> None:
        """Begin no handler until `resume`; those at work end, the membership in the group stays."""
        self._gate.pause()

    def resume(self) -> None:
        """Go on after `pause`, or after a halt whose cause was mended; the limits count anew."""
        self._rule.forget()
        self._gate.open()

    def stop(self) -> None:
        """Let `run` end: handlers at work may end, what is done is committed, the group is left."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`. Raises TopicsMissing; keeps trying while Kafka is away."""
        failures = 0
        while not self._stopping.is_set():
            self._progress = False
            cause = await self._session()
            if cause is None:
                return
            failures = 1 if self._progress else failures + 1
            self._metrics.restarts.labels(self._group, cause).inc()
            log.warning("the consumer's client is made anew", group=self._group, cause=cause)
            backoff = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS)) - 1]
            await _first_of(self._stopping.wait(), self._clock.sleep(backoff))

    async def _session(self) -> str | None:
        """One client's life. None when it was stopped; else why another one is needed."""
        source = self._new_source()
        try:
            await source.start(self._engine)
            ended = await _first_of(
                self._stopping.wait(), self._read(source), self._commit_often(source), self._watch(source)
            )
        except LogUnavailable:
            return "failed"
        else:
            return None if self._stopping.is_set() else str(ended)
        finally:
            await self._leave(source)

    async def _leave(self, source: Source) -> None:
        try:
            await source.commit(await self._engine.release())
        except LogUnavailable:
            log.warning("the last offsets could not be committed: events will be handled again", group=self._group)
        await source.close()

    async def _read(self, source: Source) -> None:
        engine, tuning, monotonic = self._engine, self._tuning, self._clock.monotonic
        wanted_room = tuning.room // 4  # Reading record by record, as they end, would cost more than it brings.
        polled = monotonic()
        while True:
            engine.turn()
            if engine.room < wanted_room:
                await engine.wait_for_room(wanted_room, seconds=_ROOM_SECONDS)
            room = engine.room
            source.pause([each for each in engine.partitions if not room or engine.full(each)])
            until_due = engine.seconds_until_due()
            seconds = tuning.poll_seconds if until_due is None else min(tuning.poll_seconds, until_due)
            self._poll_gap.observe(monotonic() - polled)
            records = await source.poll(seconds=seconds if room else 0.0, room=max(room, 1))
            polled = monotonic()
            for partition, batch in records.items():
                self._progress = True
                engine.add(partition, batch)
            # Where the buffer is never empty, a poll does not wait: handlers get their turn here.
            await asyncio.sleep(0)

    async def _commit_often(self, source: Source) -> None:
        while True:
            await self._clock.sleep(self._tuning.commit_seconds)
            try:
                await self._commit(source)
            except LogUnavailable:
                log.warning("offsets could not be committed; tried again", group=self._group)

    async def _commit(self, source: Source) -> None:
        if offsets := self._engine.committable():
            await source.commit(offsets)
            self._engine.committed(offsets)

    async def _watch(self, source: Source) -> str:
        """Measure lag; return when the client has stopped reading."""
        watchdog = Watchdog(self._tuning.stall_seconds)
        while True:
            await self._clock.sleep(self._tuning.watch_seconds)
            try:
                standings = await source.standings(list(self._engine.partitions))
            except LogUnavailable:
                continue
            lags: dict[str, int] = {}
            for partition, standing in standings.items():
                reads = self._engine.restarts_at(partition)
                reads = standing.position if reads is None else reads
                if reads is not None:
                    lags[partition.topic] = lags.get(partition.topic, 0) + max(standing.end - reads, 0)
            for topic, lag in lags.items():
                self._metrics.lag.labels(self._group, topic).set(lag)
            wanted = {
                partition: standing
                for partition, standing in standings.items()
                if self._engine.room and partition in self._engine.partitions and not self._engine.full(partition)
            }
            if watchdog.stalled(self._clock.monotonic(), wanted):
                return "stalled"


async def _first_of(*works: Coroutine[Any, Any, T]) -> T:
    """The result, or the error, of whichever ends first; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
