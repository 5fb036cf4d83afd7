"""Fills the views in Redis from the log where they lack something: after a loss, a failover, at the very first start.

It goes on from where the views stand, so that one that was broken off is resumed by whoever comes next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from typing import Final

import structlog

from bus.backlog import Backlog
from bus.clock import Clock
from bus.errors import CoveyError, StateUnavailable
from bus.reader import Sink
from bus.redis.lease import RedisLease
from bus.redis.views import RedisViews

RebuildProgress = Callable[[int, int], None]
"""Told how many positions of how many the views hold by now."""

_PARTITIONS_AT_ONCE: Final = 4
"""While Redis writes for one, the events of another are made ready."""
_LOOK_AGAIN_SECONDS: Final = 1.0
_LOOK_UNASKED_SECONDS: Final = 5.0
_LOG: Final = structlog.get_logger(__name__)


class _LeaseLost(Exception):
    """Another instance goes on with it."""


class Rebuild:
    """One instance's part in it: fills the views while it has the lease, else waits until another has done it."""

    def __init__(
        self, views: RedisViews, backlog: Backlog, lease: RedisLease, clock: Clock, *, before: Sequence[Sink] = ()
    ) -> None:
        """`before` are sinks that are given every event before the views are, such as the coverage cache: where these
        stand, they were."""
        self._views = views
        self._backlog = backlog
        self._lease = lease
        self._clock = clock
        self._before = tuple(before)
        self._complete = False

    @property
    def whole(self) -> bool:
        """Whether the views hold all that the log has, but for what is just being written."""
        return self._complete and not self._views.lacking

    async def whole_now(self) -> bool:
        """As `whole`, having asked Redis just now: it may have forgotten in silence. Raises StateUnavailable."""
        await self._views.look()
        if not self.whole:
            self._views.missed.set()
        return self.whole

    async def fill(self, progress: RebuildProgress | None = None) -> bool:
        """Bring the views to the present end of the log, and this instance's readers back to writing them.

        False, with nothing more done, where another instance does it now. Raises StateUnavailable, LogUnavailable,
        LogCorrupt; what was filled by then stays.
        """
        if not await self._lease.acquire():
            return False
        try:
            filled = await self._round(progress)
            while filled and self._views.lacking:  # the readers went on meanwhile
                filled = await self._round(None)
        except _LeaseLost:
            return False
        finally:
            with suppress(StateUnavailable):
                await self._lease.release()
        return True

    async def run(self) -> None:
        """For ever: fill at the start, and whenever something lacks. Failures are logged and tried again."""
        while True:
            self._views.missed.clear()
            try:
                await self._views.look()
                if not self.whole:
                    self._complete = await self.fill()
            except CoveyError as error:
                _LOG.warning("views_wait_for_rebuild", reason=str(error))
            await self._pause(_LOOK_UNASKED_SECONDS if self.whole else _LOOK_AGAIN_SECONDS)

    async def _round(self, progress: RebuildProgress | None) -> bool:
        """Fill up to where the log ends now; whether there was anything to fill."""
        spans = await self._backlog.spans()
        begun = {partition: await self._views.begin(partition, span.floor) for partition, span in spans.items()}
        lacking = {partition: span.end for partition, span in spans.items() if span.end > begun[partition]}
        meter = _Meter(sum(end - begun[partition] for partition, end in lacking.items()), progress)
        gate = asyncio.Semaphore(_PARTITIONS_AT_ONCE)
        work = [
            asyncio.create_task(self._partition(partition, begun[partition], end, gate, meter))
            for partition, end in lacking.items()
        ]
        # No TaskGroup: it would hide that we were cancelled where something failed as well.
        try:
            await asyncio.gather(*work)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        for partition in spans.keys() - lacking.keys():
            await self._views.settle(partition, at_least=begun[partition])
        return bool(work)

    async def _partition(self, partition: int, after: int, end: int, gate: asyncio.Semaphore, meter: _Meter) -> None:
        def through_now() -> int:
            """Where events keep coming, as far as those that the readers were refused: else they never get in again."""
            return max(end, self._views.taken(partition) if partition in self._views.lacking else 0)

        async with gate, aclosing(self._backlog.read(partition, after=after, through=through_now)) as batches:
            async for batch in batches:
                if not await self._lease.keep():
                    raise _LeaseLost
                for sink in self._before:
                    await sink.take(batch)
                through = await self._views.write(partition, batch, after=after)
                if through < after:
                    raise StateUnavailable("Redis lost again what was just written.")
                meter.add(min(through, end) - min(after, end))
                after = through
        meter.add(end - min(after, end))  # positions at the end may hold no event
        await self._views.settle(partition, at_least=end)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._views.missed.wait()


class _Meter:
    """Adds up how far all partitions are."""

    def __init__(self, total: int, progress: RebuildProgress | None) -> None:
        self._done = 0
        self._total = total
        self._progress = progress

    def add(self, positions: int) -> None:
        self._done += positions
        if self._progress is not None:
            self._progress(self._done, self._total)
