"""Fills the views in Redis from the events of `rte.events`: members' history, requests, calls, people asked about.

The views stand at one position of each partition, and every write says which one it continues: Redis makes it wholly
or, standing elsewhere, not at all. So any number of instances may bring the same events, in any state of restart: what
one has written the others pass over, and an older state never overwrites a newer one. A view that stands before what
an instance is about to write has lost something (emptied, failed over, unreachable for a while); the instance then
leaves the partition to the rebuild, which closes the hole from the log.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct
from redis.asyncio import Redis

from bus.clock import Clock
from bus.errors import StateUnavailable
from bus.events import Recorded, Topic
from bus.fold import RequestState
from bus.ids import RequestId, TenantId
from bus.redis_connection import reached
from bus.redis_keys import RedisKeys, hour
from bus.redis_scripts import BEGIN, STANDING, TAKE
from bus.redis_todo import Keeping, Todo
from bus.redis_values import RedisValues

EVENTS_A_WRITE: Final = 200
"""A write keeps Redis from everything else; so many take it about two milliseconds."""
_LOOK_AGAIN_SECONDS: Final = 0.025
"""Who waits for an event hears of it when this instance has read it; others may be faster, or its reader stand still."""
_LOG: Final = structlog.get_logger(__name__)


class Progress(Struct, frozen=True, kw_only=True):
    """Which stretch of a partition the views hold."""

    after: int
    """Events up to here the log no longer held when the views were filled."""
    through: int
    """Every event behind `after`, up to and with this position, is in the views."""


class RedisViews:
    """A sink for `rte.events`, of any of its partitions. Redis' troubles hold nobody up: what was missed is `lacking`.

    One batch after the other; of a partition the batches come in order, without holes.
    """

    def __init__(
        self,
        redis: Redis,
        keys: RedisKeys,
        values: RedisValues,
        clock: Clock,
        *,
        keeping: Keeping,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._values = values
        self._clock = clock
        self._keeping = keeping
        self._take_script = redis.register_script(TAKE)
        self._standing_script = redis.register_script(STANDING)
        self._begin_script = redis.register_script(BEGIN)
        self._taken: dict[int, int] = {}
        self._seen: dict[int, int] = {}
        self._waiting: dict[int, asyncio.Event] = {}
        self._lacking: set[int] = set()
        self.missed = asyncio.Event()
        """Set when a partition begins to lack something; for the rebuild to wait on, and to clear."""

    @property
    def lacking(self) -> frozenset[int]:
        """Partitions of which this instance had events that Redis could not take; they wait for a rebuild."""
        return frozenset(self._lacking)

    async def take(self, batch: Sequence[Recorded]) -> None:
        """Write the batch's events; those that Redis cannot take now are left to a rebuild. Never raises for Redis."""
        by_partition: dict[int, list[Recorded]] = defaultdict(list)
        for recorded in batch:
            if recorded.event.topic is Topic.RTE:
                by_partition[recorded.partition].append(recorded)
        for partition, events in by_partition.items():
            await self._offer(partition, events)

    def starting(self, partition: int, after: int) -> None:
        """The next batch of the partition is the first behind `after`: a reader was given it, or went elsewhere."""
        self._taken[partition] = after

    async def progress(self, partition: int) -> Progress:
        """How far the views have come. Raises StateUnavailable."""
        after, through = await reached(self._redis.hmget(self._keys.progress(partition), ["after", "through"]))
        progress = Progress(after=int(after or 0), through=int(through or 0))
        self._note(partition, progress.through)
        return progress

    async def begin(self, partition: int, floor: int) -> int:
        """Nothing at or before `floor` will come, the log has lost it; where the views stand then.

        Raises StateUnavailable.
        """
        begin = self._begin_script(
            keys=[self._keys.progress(partition)], args=[floor, self._keeping.expires(self._clock.now())]
        )
        return int(await reached(begin))

    async def write(self, partition: int, events: Sequence[Recorded], *, after: int) -> int:
        """Write events of a partition, all there are behind `after`; where the views stand then.

        That is before `after` where they lack something that came earlier: nothing was written then. Raises
        StateUnavailable; the first of the events may then be in.
        """
        through = after
        for first in range(0, len(events), EVENTS_A_WRITE):
            some = events[first : first + EVENTS_A_WRITE]
            through = await self._write(partition, some, after=after)
            if through < after:
                return through
            after = some[-1].position
        return through

    def settle(self, partition: int, through: int) -> None:
        """Note whether views that stand at `through` lack what this instance was given; if not, it writes them."""
        if through < self._taken.get(partition, 0):
            self._lacking.add(partition)
        else:
            self._lacking.discard(partition)

    async def look(self) -> None:
        """Settle every partition by where its views stand now: Redis may forget in silence, others may have filled it.

        Raises StateUnavailable.
        """
        for partition in list(self._taken):
            self.settle(partition, (await self.progress(partition)).through)

    async def show(self, recorded: Recorded, within_seconds: float) -> bool:
        """Wait until every instance sees the event in the views; False if that takes longer, or Redis is away.

        Who answers a write only then lets its caller read it on any instance.
        """
        deadline = self._clock.monotonic() + within_seconds
        try:
            while self._seen.get(recorded.partition, 0) < recorded.position:
                left_seconds = deadline - self._clock.monotonic()
                if left_seconds > 0 and await self._heard(recorded.partition, min(left_seconds, _LOOK_AGAIN_SECONDS)):
                    continue
                if (await self.progress(recorded.partition)).through < recorded.position and left_seconds <= 0:
                    return False
        except StateUnavailable:
            return False
        return True

    async def _heard(self, partition: int, within_seconds: float) -> bool:
        """Wait until this instance learns where the views of a partition stand now; False if it did not in time."""
        try:
            async with asyncio.timeout(within_seconds):
                await self._waiting.setdefault(partition, asyncio.Event()).wait()
        except TimeoutError:
            return False
        return True

    async def _offer(self, partition: int, events: Sequence[Recorded]) -> None:
        last = events[-1].position
        if partition in self._lacking:
            self._taken[partition] = last
            return  # the rebuild is not through: it reads these events too
        after = self._taken.get(partition, events[0].position - 1)
        try:
            written = await self.write(partition, events, after=after) >= after
            reason = "Redis lacks earlier events."
        except StateUnavailable as error:
            written, reason = False, str(error)
        self._taken[partition] = last
        if not written:
            _LOG.warning("views_lack_events", partition=partition, reason=reason)
            self._lacking.add(partition)
            self.missed.set()

    async def _write(self, partition: int, events: Sequence[Recorded], *, after: int) -> int:
        while True:
            through, states = await self._standing(partition, events)
            fresh = [recorded for recorded in events if recorded.position > through]
            if through < after or not fresh:
                self._note(partition, through)
                return through
            if await self._try(partition, through, fresh, states):
                self._note(partition, fresh[-1].position)
                return fresh[-1].position

    async def _standing(
        self, partition: int, events: Sequence[Recorded]
    ) -> tuple[int, dict[RequestId, RequestState | None]]:
        """Where the views stand, and the requests of these events, at one moment."""
        ids = list({request_id for one in events if (request_id := one.event.request_id) is not None})
        keys = [self._keys.progress(partition), *(self._keys.request(request_id) for request_id in ids)]
        through, *found = await reached(self._standing_script(keys=keys))
        states = {
            request_id: None if state is None else self._values.state(TenantId(tenant.decode()), state)
            for request_id, (tenant, state) in zip(ids, found, strict=True)
        }
        return int(through or 0), states

    async def _try(
        self, partition: int, through: int, events: Sequence[Recorded], states: dict[RequestId, RequestState | None]
    ) -> bool:
        """Write them if the views still stand at `through`."""
        now = self._clock.now()
        todo = Todo(
            keys=self._keys,
            values=self._values,
            keeping=self._keeping,
            partition=partition,
            states=states,
            now=now,
        )
        for recorded in events:
            todo.add(recorded)
        work, values = todo.packed()
        arguments: list[int | bytes] = [
            through,
            events[-1].position,
            min(hour(recorded.event.time) for recorded in events),
            hour(now - self._keeping.retention),
            self._keeping.expires(now),
            work,
            *values,
        ]
        keys = [self._keys.progress(partition), self._keys.marks(partition), self._keys.calls]
        return bool(await reached(self._take_script(keys=keys, args=arguments)))

    def _note(self, partition: int, through: int) -> None:
        """The views stand there now, or further."""
        if through > self._seen.get(partition, 0):
            self._seen[partition] = through
            if (waiting := self._waiting.pop(partition, None)) is not None:
                waiting.set()
