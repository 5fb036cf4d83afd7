"""From records to handled events: all of a consumer but its Kafka client."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, cast

import structlog

from bus.clock import Clock
from bus.consumer import letters
from bus.consumer.attempts import Attempts
from bus.consumer.due import DueQueue
from bus.consumer.handlers import Handlers
from bus.consumer.lanes import Lanes
from bus.consumer.metrics import ConsumerMetrics
from bus.consumer.partition import Assigned, Work
from bus.consumer.record import Partition, Record
from bus.consumer.tuning import Tuning

log = structlog.get_logger(__name__)

_TURNS: Final = 64
"""Events that a worker handles before others get their turn, where no handler ever waits."""
_GIVE_UP_SECONDS: Final = 1
"""For a handler to end that was cancelled."""


class Engine:
    """Takes the records of assigned partitions, has each handled, and tells which offsets may be committed.

    Events of one key are handled one at a time in their order, those of up to `concurrency` keys at once.
    """

    def __init__(
        self,
        *,
        group: str,
        handlers: Handlers,
        attempts: Attempts,
        retry_topics: Collection[str],
        tuning: Tuning,
        clock: Clock,
        metrics: ConsumerMetrics,
    ) -> None:
        self._handlers = handlers
        self._attempts = attempts
        self._retry_topics = frozenset(retry_topics)
        self._tuning = tuning
        self._clock = clock
        self._passed_over = metrics.events.labels(group, "passed_over")
        self._assigned: dict[Partition, Assigned] = {}
        self._lanes: Lanes[object, Work] = Lanes()
        self._due: DueQueue[Work] = DueQueue()
        self._taken = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._running: dict[Work, asyncio.Task[None]] = {}
        self._ended = asyncio.Event()
        """Set when a worker ended a record."""
        self._failure: BaseException | None = None

    @property
    def partitions(self) -> Collection[Partition]:
        return self._assigned.keys()

    @property
    def room(self) -> int:
        """How many records may be given to `add` now."""
        return max(self._tuning.room - self._taken, 0)

    def full(self, partition: Partition) -> bool:
        """Nothing of this partition should be read now."""
        assigned = self._assigned[partition]
        return (
            len(assigned.offsets) >= self._tuning.uncommitted
            or assigned.due_waiting >= self._tuning.waiting_a_partition
        )

    async def wait_for_room(self, wanted: int, *, seconds: float) -> None:
        """Return when there is so much room, or after so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.room < wanted:
                    self._ended.clear()
                    await self._ended.wait()

    def seconds_until_due(self) -> float | None:
        """Until the next retry is due; None while none waits."""
        due = self._due.next_due
        return None if due is None else max((due - self._clock.now()).total_seconds(), 0.0)

    def assign(self, partitions: Collection[Partition]) -> None:
        """These are ours now; their records will come from what is committed on."""
        for partition in partitions:
            if partition not in self._assigned:
                self._assigned[partition] = Assigned(partition, retry=partition.topic in self._retry_topics)

    def add(self, partition: Partition, records: Sequence[Record]) -> None:
        """Take records of one partition, in its order; those of a partition that is not ours (any more) are dropped."""
        assigned = self._assigned.get(partition)
        if assigned is None:
            return
        for record in records:
            self._take(record, assigned)
        self._start_workers()

    def turn(self) -> None:
        """Between two polls: let retries be handled whose time has come, and count what was handled.

        Raises what a worker failed with: no handler's error, but a fault of the framework.
        """
        if self._failure is not None:
            raise self._failure
        self._attempts.count()
        now = self._clock.now()
        while (work := self._due.take(now)) is not None:
            work.assigned.due_waiting -= 1
            self._taken += 1
            self._lanes.add(work.lane, work)
        self._start_workers()

    def committable(self) -> dict[Partition, int]:
        """By partition the offset to commit, where it is not committed yet."""
        return _committable(self._assigned.values())

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """These offsets are committed now."""
        for partition, offset in offsets.items():
            if (assigned := self._assigned.get(partition)) is not None:
                assigned.committed = offset

    def restarts_at(self, partition: Partition) -> int | None:
        """The offset that a restart would read first; None while nothing of this assignment was read."""
        assigned = self._assigned.get(partition)
        return None if assigned is None else assigned.offsets.oldest

    async def release(self) -> dict[Partition, int]:
        """Give every partition back: what to commit before another consumer has them.

        Nothing more begins; handlers at work may end within `drain_seconds`, then they are cancelled.
        """
        leaving = list(self._assigned.values())
        self._assigned.clear()
        self._taken -= self._lanes.drop(lambda _: True)
        self._due.drop(lambda _: True)
        for work in self._attempts.waiting:
            self._running[work].cancel()
        if self._workers:
            await asyncio.wait(self._workers, timeout=self._tuning.drain_seconds)
        if self._workers:
            log.warning("handlers were given up; their events will be handled again", count=len(self._workers))
            for worker in self._workers:
                worker.cancel()
            await asyncio.wait(self._workers, timeout=_GIVE_UP_SECONDS)
        self._attempts.count()
        return _committable(leaving)

    def _take(self, record: Record, assigned: Assigned) -> None:
        assigned.offsets.begin(record.offset)
        called = None
        for name, value in record.headers:
            if name == "ce_type":
                called = self._handlers.get(value)
                if called is None:
                    self._passed_over.inc()
                    assigned.offsets.finish(record.offset)
                    return
                break
        work = Work(record, assigned, called)
        if assigned.retry:
            self._read_letter(work)
        if work.due is None:
            self._taken += 1
            self._lanes.add(work.lane, work)
        else:
            assigned.due_waiting += 1
            self._due.add(work.due, work)

    def _read_letter(self, work: Work) -> None:
        try:
            letter = letters.read(work.record.headers)
        except letters.LetterUnreadable:
            return  # A stranger wrote here: the event is handled as if it were new.
        work.attempts, work.origin, work.due = letter.attempts, letter.origin, letter.due

    def _start_workers(self) -> None:
        for _ in range(min(self._lanes.ready, self._tuning.concurrency - len(self._workers))):
            worker = asyncio.create_task(self._work_off(), name="consumer worker")
            self._workers.add(worker)
            worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not worker.cancelled() and (failure := worker.exception()) is not None:
            self._failure = failure

    async def _work_off(self) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        lanes, running, deal_with = self._lanes, self._running, self._attempts.deal_with
        turns = 0
        while (work := lanes.take()) is not None:
            running[work] = task
            try:
                await deal_with(work)
                work.assigned.offsets.finish(work.record.offset)
            finally:
                del running[work]
                self._taken -= 1
                lanes.done(work.lane)
                self._ended.set()
            turns += 1
            if turns % _TURNS == 0:
                await asyncio.sleep(0)


def _committable(partitions: Iterable[Assigned]) -> dict[Partition, int]:
    return {
        assigned.id: offset
        for assigned in partitions
        if (offset := assigned.offsets.committable) is not None and offset != assigned.committed
    }
