"""What becomes of one record: handled, passed over as a duplicate, retried, or a dead letter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, assert_never

import structlog

from bus.clock import Clock
from bus.consumer import letters
from bus.consumer.errors import Rejected, Undecodable
from bus.consumer.gate import Gate
from bus.consumer.handlers import Delivery, Handler
from bus.consumer.letters import Letter
from bus.consumer.metrics import ConsumerMetrics
from bus.consumer.names import GroupTopics
from bus.consumer.partition import Work
from bus.consumer.record import Headers, Sink
from bus.consumer.retries import Again, GiveUp, Later, Retries, Step
from bus.consumer.seen import Seen, name_of
from bus.consumer.stop_rule import StopRule
from bus.errors import LogCorrupt, LogUnavailable
from bus.events import Event
from bus.kafka.records import KafkaRecords

log = structlog.get_logger(__name__)

_SINK_BACKOFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Attempts:
    """Deals with one record at a time of every key; nothing is shared between keys but the counts."""

    def __init__(
        self,
        *,
        group: str,
        retries: Retries,
        rule: StopRule,
        gate: Gate,
        seen: Seen,
        sink: Sink,
        records: KafkaRecords,
        clock: Clock,
        metrics: ConsumerMetrics,
    ) -> None:
        self._group = group
        self._retries = retries
        self._rule = rule
        self._gate = gate
        self._seen = seen
        self._sink = sink
        self._records = records
        self._clock = clock
        results = metrics.events.labels
        self._handled, self._duplicate = results(group, "handled"), results(group, "duplicate")
        self._retried, self._dead = results(group, "retried"), results(group, "dead")
        self._uncounted = 0
        self.waiting: set[Work] = set()
        """Records whose handler is not at work: nothing is lost in cancelling these."""

    async def deal_with(self, work: Work) -> None:
        """Return when the record's offset may be committed: its effect, its retry or its letter is durable."""
        while True:
            if self._gate.closed:
                with self._waits(work):
                    await self._gate.wait()
            try:
                event, handler = self._event(work)
                name = name_of(event.source, event.id)
                if name in self._seen:
                    self._duplicate.inc()
                    return
                await handler(Delivery(event, event.data, work.attempts + 1))
            except Exception as error:
                if await self._failed(work, error):
                    return
            else:
                self._seen.add(name)
                self._rule.handled()
                self._uncounted += 1
                return

    def count(self) -> None:
        """Tell the metrics what was handled: they would cost as much as the rest, were each event told by itself."""
        self._handled.inc(self._uncounted)
        self._uncounted = 0

    def _event(self, work: Work) -> tuple[Event, Handler]:
        """What is to be handled, and by whom. Raises Undecodable."""
        if work.called is None:
            raise Undecodable("no type")
        try:
            recorded = self._records.recorded(work.called.place, work.record)
        except LogCorrupt as error:
            raise Undecodable("sealed with another key") from error
        if recorded is None:
            raise Undecodable("not of its type")
        return recorded.event, work.called.handler

    async def _failed(self, work: Work, error: Exception) -> bool:
        """Whether the record is done with; else it is to be attempted again."""
        attempts = work.attempts + 1
        match step := self._step(error, attempts):
            case Again():
                self._tell(work, attempts, error, step)
                work.attempts = attempts
                with self._waits(work):
                    await self._clock.sleep(step.seconds)
                return False
            case Later():
                self._tell(work, attempts, error, step)
                headers = self._letter(work, attempts, error, delay=step.seconds)
                await self._send(work, self._topics(work).retry(step.seconds), headers)
                self._retried.inc()
            case GiveUp():
                if (reason := self._rule.bury()) is not None:
                    log.error("consumer halts: too much would become dead letters", group=self._group, limit=reason)
                    self._gate.halt(reason)
                    return False
                self._tell(work, attempts, error, step)
                await self._send(work, self._topics(work).dead, self._letter(work, attempts, error))
                self._dead.inc()
            case _:
                assert_never(step)
        return True

    def _step(self, error: Exception, attempts: int) -> Step:
        if isinstance(error, Undecodable | Rejected):
            return GiveUp()
        return self._retries.after(attempts)

    def _letter(
        self, work: Work, attempts: int, error: Exception, delay: float | None = None
    ) -> list[tuple[str, bytes]]:
        now = self._clock.now()
        letter = Letter(
            group=self._group,
            origin=work.first_read,
            attempts=attempts,
            cause=letters.cause_of(error),
            trace=letters.trace_of(error),
            failed_at=now,
            due=None if delay is None else now + timedelta(seconds=delay),
        )
        return letters.write(work.record.headers, letter)

    def _topics(self, work: Work) -> GroupTopics:
        return GroupTopics(work.first_read.topic, self._group)

    async def _send(self, work: Work, topic: str, headers: Headers) -> None:
        failures = 0
        while True:
            try:
                await self._sink.send(topic, key=work.record.key, value=work.record.value, headers=headers)
            except LogUnavailable:
                log.warning("a failed event waits until it can be written on", group=self._group, topic=topic)
                with self._waits(work):
                    await self._clock.sleep(_SINK_BACKOFF_SECONDS[min(failures, len(_SINK_BACKOFF_SECONDS) - 1)])
                failures += 1
            else:
                return

    def _tell(self, work: Work, attempts: int, error: Exception, step: Step) -> None:
        # Only the error's classes and lines of code: its message may repeat what the event said.
        log.warning(
            "an event could not be handled",
            group=self._group,
            topic=work.assigned.id.topic,
            partition=work.assigned.id.partition,
            offset=work.record.offset,
            attempts=attempts,
            cause=letters.cause_of(error),
            trace=letters.trace_of(error),
            then=type(step).__name__,
        )

    @contextmanager
    def _waits(self, work: Work) -> Iterator[None]:
        self.waiting.add(work)
        try:
            yield
        finally:
            self.waiting.discard(work)
