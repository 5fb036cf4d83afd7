"""A log with everything that carries its events to streams, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bus.cursor import Cursors
from bus.events import Recorded, Topic
from bus.fanout import Fanout
from bus.fold import RequestState, fold
from bus.ids import MemberId, PayerId, TenantId
from bus.metrics import Metrics
from bus.reader import Reader
from bus.replay import StreamItem, Streams
from tests.bus.keeping_log import KeepingLog
from tests.virtual_time import VirtualClock

T1: Final = TenantId("t1")
M1: Final = MemberId("m1")
KEY: Final = b"k" * 32


class Bench:
    """A log, its readers and streams over it, on a virtual clock."""

    def __init__(self, log: KeepingLog, *, tail_bound: int = 256, batch: int = 200, reader_bound: int = 256) -> None:
        self.log = log
        self.clock = VirtualClock()
        self.metrics = Metrics()
        self.cursors = Cursors(KEY, log.epoch)
        self.fanout = Fanout(tail_bound=tail_bound)
        self.streams = Streams(
            log,
            self.fanout,
            self.cursors,
            self.clock,
            self.metrics,
            idle_checkpoint_seconds=30,
            batch=batch,
            reader_bound=reader_bound,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        readers = [Reader(self.log, topic, [self.fanout], self.metrics, self.clock, start_after=0) for topic in Topic]
        async with self.fanout, readers[0], readers[1]:
            yield self

    def request(self, after: str | None = None, *, request_id: str = "r1") -> AsyncGenerator[StreamItem, None]:
        return self.streams.request(self.state(request_id), after, allow_all)

    def member(self, after: str | None = None) -> AsyncGenerator[StreamItem, None]:
        return self.streams.member(T1, M1, after, allow_all)

    def payers(self, after: str | None = None, *payers: str) -> AsyncGenerator[StreamItem, None]:
        wanted = frozenset(PayerId(payer) for payer in payers) or None
        return self.streams.payers(T1, wanted, after, allow_all)

    def state(self, request_id: str = "r1") -> RequestState:
        state: RequestState | None = None
        for recorded in self.log.events:
            if recorded.event.subject == request_id:
                state = fold(state, recorded)
        assert state is not None
        return state

    def gaps(self) -> dict[str, float]:
        samples = [sample for metric in self.metrics.gaps.collect() for sample in metric.samples]
        return {sample.labels["reason"]: sample.value for sample in samples if sample.name.endswith("_total")}


def allow_all(recorded: Recorded) -> bool:
    return True
