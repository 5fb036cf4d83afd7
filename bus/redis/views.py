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
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from bus.clock import Clock
from bus.errors import StateUnavailable
from bus.events import Recorded, Topic
from bus.fold import RequestState
from bus.ids import RequestId, TenantId
from bus.redis.connection import reached, reaching
from bus.redis.keys import RedisKeys, hour
from bus.redis.scripts import BEGIN, STANDING, TAKE
from bus.redis.todo import Keeping, Todo
from bus.redis.values import RedisValues
from bus.redis.written import WrittenStates

EVENTS_A_WRITE: Final = 200
"""A write keeps Redis from everything else; so many take it about two milliseconds."""
_REMEMBERED_STATES: Final = 10_000
"""About what a hundred seconds of a hundred requests a second leave open; the others are asked for."""
_LOG: Final = structlog.get_logger(__name__)


class Progress(Struct, frozen=True, kw_only=True):
    """Which stretch of a partition the views hold."""

    after: int
    """Events up to here the log no longer held when the views were filled."""
    through: int
    """Every event behind `after`, up to and with this position, is in the views."""


class _Stretch(NamedTuple):
    """All events of a partition behind a position, up to some."""

    after: int
    events: Sequence[Recorded]


class _Standing(NamedTuple):
    """Where the views of a partition stand, and some of its requests, at one moment."""

    through: int
    states: dict[RequestId, RequestState | None]


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
        self._standing_script = redis.register_script(STANDING)
        self._take_script = redis.register_script(TAKE)
        self._begin_script = redis.register_script(BEGIN)
        self._taken: dict[int, int] = {}
        self._writing: frozenset[int] = frozenset()
        self._remembered = WrittenStates(_REMEMBERED_STATES)
        self._others_wrote = 0
        self._lacking: set[int] = set()
        self.missed = asyncio.Event()
        """Set when a partition begins to lack something; for the rebuild to wait on, and to clear."""

    @property
    def lacking(self) -> frozenset[int]:
        """Partitions of which this instance had events that Redis could not take; they wait for a rebuild."""
        return frozenset(self._lacking)

    async def take(self, batch: Sequence[Recorded]) -> bool:
        """Write the batch's events; those that Redis cannot take now are left to a rebuild. Never raises for Redis.

        Whether others had written some of it.
        """
        stretches: dict[int, _Stretch] = {}
        for partition, events in _by_partition(batch).items():
            # Where earlier events are lacking this is refused, until the rebuild has brought them.
            stretches[partition] = _Stretch(self._taken.get(partition, events[0].position - 1), events)
            self._note(partition, events[-1].position)
        before = self._others_wrote
        self._writing = frozenset(stretches)
        try:
            for some in _groups(stretches):
                await self._offer(some)
        finally:
            self._writing = frozenset()
        return self._others_wrote > before

    async def unwritten(self, batch: Sequence[Recorded]) -> Sequence[Recorded]:
        """Those of the next events that nobody has written yet; the others count as taken. Never raises for Redis."""
        by_partition = _by_partition(batch)
        try:
            progress = await asyncio.gather(*(self.progress(partition) for partition in by_partition))
        except StateUnavailable:
            return batch
        left: list[Recorded] = []
        for (partition, events), standing in zip(by_partition.items(), progress, strict=True):
            if standing.through >= events[0].position:
                self._note(partition, min(standing.through, events[-1].position))
            left += [recorded for recorded in events if recorded.position > standing.through]
        return left

    def leave(self, batch: Sequence[Recorded]) -> None:
        """Leave the next events to a rebuild."""
        for partition, events in _by_partition(batch).items():
            self._note(partition, events[-1].position)
            self._lacking.add(partition)
        self.missed.set()

    def taken(self, partition: int) -> int:
        """Everything up to here was given to this instance, whether it could be written or not; 0 for nothing."""
        return self._taken.get(partition, 0)

    async def progress(self, partition: int) -> Progress:
        """How far the views have come. Raises StateUnavailable."""
        after, through = await reached(self._redis.hmget(self._keys.progress(partition), ["after", "through"]))
        return Progress(after=int(after or 0), through=int(through or 0))

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
            through = (await self._write({partition: _Stretch(after, some)}))[partition]
            if through < after:
                return through
            after = some[-1].position
        return through

    async def settle(self, partition: int, *, at_least: int = 0) -> None:
        """Note whether the views lack what this instance was given; they may stand before `at_least`, behind which
        there is no event. Redis may have forgotten in silence, others may have filled it.

        Raises StateUnavailable.
        """
        taken = self.taken(partition)
        if partition in self._writing:
            return  # whoever writes sees what lacks before it
        through = max((await self.progress(partition)).through, at_least)
        if self.taken(partition) != taken:
            return  # as above: more came meanwhile
        if through < taken:
            self._lacking.add(partition)
        else:
            self._lacking.discard(partition)

    async def look(self) -> None:
        """Settle every partition. Raises StateUnavailable."""
        await asyncio.gather(*(self.settle(partition) for partition in self._taken))

    async def _offer(self, stretches: Mapping[int, _Stretch]) -> None:
        """Write what there is, or note that it is lacking."""
        try:
            if any(len(stretch.events) > EVENTS_A_WRITE for stretch in stretches.values()):
                through = {
                    partition: await self.write(partition, stretch.events, after=stretch.after)
                    for partition, stretch in stretches.items()
                }
            else:
                through = await self._write(stretches)
            reason = "Redis lacks earlier events."
        except StateUnavailable as error:
            through, reason = {}, str(error)
        for partition, stretch in stretches.items():
            if through.get(partition, -1) >= stretch.after:
                self._lacking.discard(partition)
            elif partition not in self._lacking:
                _LOG.warning("views_lack_events", partition=partition, reason=reason)
                self._lacking.add(partition)
                self.missed.set()

    async def _write(self, stretches: Mapping[int, _Stretch]) -> dict[int, int]:
        """Bring stretches of several partitions in; where the views of each stand then. Raises StateUnavailable."""
        # Tried first with what this instance remembers of its own last write: mostly nobody has written since.
        reached_by = await self._take(stretches, {one: self._standing_remembered(*stretches[one]) for one in stretches})
        while left := {partition: one for partition, one in stretches.items() if partition not in reached_by}:
            work: dict[int, _Stretch] = {}
            standings = await self._standing(left)
            for partition, standing in standings.items():
                after, events = left[partition]
                fresh = [recorded for recorded in events if recorded.position > standing.through]
                self._others_wrote += len(fresh) < len(events)
                if standing.through < after or not fresh:
                    reached_by[partition] = standing.through
                else:
                    work[partition] = _Stretch(standing.through, fresh)
            reached_by |= await self._take(work, standings)
        return reached_by

    async def _take(self, stretches: Mapping[int, _Stretch], standings: Mapping[int, _Standing]) -> dict[int, int]:
        """Where the views of those partitions stand then that stood as was thought; nothing is written of others."""
        todos = {
            partition: self._todo(partition, stretch, standings[partition].states)
            for partition, stretch in stretches.items()
        }
        keys = [[self._keys.progress(one), self._keys.marks(one), self._keys.calls] for one in stretches]
        arguments = [
            self._arguments(stretch, todo) for stretch, todo in zip(stretches.values(), todos.values(), strict=True)
        ]
        taken = await self._all(TAKE, self._take_script.sha, keys, arguments)
        reached_by: dict[int, int] = {}
        for (partition, stretch), done in zip(stretches.items(), taken, strict=True):
            if done:
                reached_by[partition] = stretch.events[-1].position
                self._remembered.keep(todos[partition].states)
        return reached_by

    def _standing_remembered(self, after: int, events: Sequence[Recorded]) -> _Standing:
        request_ids = {one.event.request_id for one in events if one.event.request_id is not None}
        return _Standing(after, {request_id: self._remembered.get(request_id) for request_id in request_ids})

    async def _standing(self, stretches: Mapping[int, _Stretch]) -> dict[int, _Standing]:
        """Where the views stand, and the requests of these events."""
        requests = {
            partition: list({one.event.request_id for one in stretch.events if one.event.request_id is not None})
            for partition, stretch in stretches.items()
        }
        keys = [
            [self._keys.progress(partition), *(self._keys.request(request_id) for request_id in request_ids)]
            for partition, request_ids in requests.items()
        ]
        found = await self._all(STANDING, self._standing_script.sha, keys, [()] * len(keys))
        return {
            partition: _Standing(
                int(through or 0),
                {request_id: self._state(*kept) for request_id, kept in zip(request_ids, states, strict=True)},
            )
            for (partition, request_ids), (through, *states) in zip(requests.items(), found, strict=True)
        }

    def _state(self, tenant: bytes | None, state: bytes | None) -> RequestState | None:
        return None if tenant is None or state is None else self._values.state(TenantId(tenant.decode()), state)

    def _todo(self, partition: int, stretch: _Stretch, states: Mapping[RequestId, RequestState | None]) -> Todo:
        """What events that come where the views stand change there."""
        todo = Todo(
            keys=self._keys,
            values=self._values,
            keeping=self._keeping,
            partition=partition,
            states=states,
            now=self._clock.now(),
        )
        for recorded in stretch.events:
            todo.add(recorded)
        return todo

    def _arguments(self, stretch: _Stretch, todo: Todo) -> list[int | bytes]:
        """What `TAKE` is told."""
        now = self._clock.now()
        work, values = todo.packed()
        return [
            stretch.after,
            stretch.events[-1].position,
            min(hour(recorded.event.time) for recorded in stretch.events),
            hour(now - self._keeping.retention),
            self._keeping.expires(now),
            work,
            *values,
        ]

    async def _all(
        self, script: str, sha: str, keys: Sequence[Sequence[str]], arguments: Sequence[Sequence[int | bytes]]
    ) -> list[Any]:
        """Run a script many times, in one round trip."""
        while keys:
            with reaching():
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for own_keys, own_arguments in zip(keys, arguments, strict=True):
                        pipeline.evalsha(sha, len(own_keys), *own_keys, *own_arguments)
                    try:
                        return list(await pipeline.execute())
                    except NoScriptError:  # Redis has forgotten it, and has done nothing
                        await self._redis.script_load(script)
        return []

    def _note(self, partition: int, position: int) -> None:
        self._taken[partition] = max(position, self._taken.get(partition, 0))


def _by_partition(batch: Sequence[Recorded]) -> dict[int, list[Recorded]]:
    found: dict[int, list[Recorded]] = defaultdict(list)
    for recorded in batch:
        if recorded.event.topic is Topic.RTE:
            found[recorded.partition].append(recorded)
    return found


def _groups(stretches: Mapping[int, _Stretch]) -> Iterator[dict[int, _Stretch]]:
    """Partitions whose events go into Redis together: so many that they do not keep it for long."""
    group: dict[int, _Stretch] = {}
    for partition, stretch in stretches.items():
        if group and sum(len(one.events) for one in group.values()) + len(stretch.events) > EVENTS_A_WRITE:
            yield group
            group = {}
        group[partition] = stretch
    if group:
        yield group
