"""Three instances that share their slots in Redis, beside the core in memory: both must decide the same."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import msgspec
import pytest

from bus.ids import CallId, PayerId, RequestId
from scheduler.admission import (
    AdmissionStatus,
    Ask,
    BreakerState,
    CallEnd,
    Grant,
    Joined,
    PayerStatus,
    QueuePlace,
    Settled,
)
from scheduler.core import AdmissionCore
from scheduler.policy import AdmissionPolicy
from scheduler.redis.admission import RedisAdmission
from scheduler.redis.script import SharedPolicy
from tests.scheduler.shared_slots import SharedSlots
from tests.scheduler.simulation import numbered_ids

_INSTANCES = 3
_T = TypeVar("_T")


class Twins(AdmissionCore):
    """A core that answers what the instances answer. They take turns; a call is settled by the one that makes it.

    Nobody renews here, so instances that were not heard of for long join anew, and are let in at once.
    """

    def __init__(self, policy: AdmissionPolicy, slots: SharedSlots, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(policy, numbered_ids())
        self._loop = loop
        self._instances: list[RedisAdmission] = []
        for _ in range(_INSTANCES):
            self._instances.append(self._run(slots.instance(policy, shared=SharedPolicy(lag_seconds=0.0))))
        self._turn = 0
        self._owners: dict[CallId, int] = {}
        self._called: dict[CallId, CallId] = {}
        """The core's name of each call of theirs."""

    def offer(self, ask: Ask, now: float) -> QueuePlace | Joined:
        theirs = self._run(self._whoever().offer(ask, now))
        ours = super().offer(ask, now)
        if isinstance(theirs, Joined):
            assert isinstance(ours, Joined)
            assert self._called[theirs.call_id] == ours.call_id
            assert theirs.lease_expires == pytest.approx(ours.lease_expires)
        else:
            assert isinstance(ours, QueuePlace)
            assert_same_place(theirs, ours)
        return theirs

    def place(self, request_id: RequestId, now: float) -> QueuePlace | None:
        theirs = self._run(self._whoever().place(request_id, now))
        assert_same_place(theirs, super().place(request_id, now))
        return theirs

    def grant(self, now: float) -> Grant | None:
        theirs = self._run(self._whoever_foresees().grant(now), news=False)
        ours = super().grant(now)
        if theirs is None or ours is None:
            assert theirs is ours
            return None
        self._owners[theirs.call_id] = self._turn
        self._called[theirs.call_id] = ours.call_id
        assert theirs.lease_expires == pytest.approx(ours.lease_expires)
        assert theirs == msgspec.structs.replace(ours, call_id=theirs.call_id, lease_expires=theirs.lease_expires)
        return theirs

    def settle(self, call_id: CallId, end: CallEnd, now: float) -> Settled:
        owner = self._owners[call_id]
        stranger = self._instances[(owner + 1) % _INSTANCES]
        assert self._run(stranger.settle(call_id, end, now)) == Settled(waiters=(), breaker=None)
        theirs = self._run(self._instances[owner].settle(call_id, end, now))
        assert theirs == super().settle(self._called[call_id], end, now)
        return theirs

    def leave(self, request_id: RequestId, now: float) -> bool:
        theirs = self._run(self._whoever().leave(request_id, now))
        assert theirs == super().leave(request_id, now)
        return theirs

    def expired(self, now: float) -> tuple[RequestId, ...]:
        theirs: Sequence[RequestId] = self._run(self._whoever().expired(now))
        assert set(theirs) == set(super().expired(now))
        return tuple(theirs)

    def next_wakeup(self, now: float) -> float | None:
        theirs = self._run(self._whoever_foresees().next_wakeup(now), news=False)
        ours = super().next_wakeup(now)
        assert_same_moment(theirs, ours)
        return ours

    def hold(self, call_id: CallId, payer_id: PayerId, lease_expires: float, now: float) -> None:
        self._run(self._whoever().hold(call_id, payer_id, lease_expires, now))
        super().hold(call_id, payer_id, lease_expires, now)

    def open_breaker(self, payer_id: PayerId, now: float) -> None:
        self._run(self._whoever().open_breaker(payer_id, now))
        super().open_breaker(payer_id, now)

    def status(self, now: float) -> AdmissionStatus:
        theirs = self._run(self._whoever().status(now))
        ours = super().status(now)
        assert msgspec.structs.replace(theirs, payers=()) == msgspec.structs.replace(ours, payers=())
        assert [one for one in theirs.payers if worth_telling(one)] == [
            one for one in ours.payers if worth_telling(one)
        ]
        return theirs

    def _whoever(self) -> RedisAdmission:
        self._turn = (self._turn + 1) % _INSTANCES
        return self._instances[self._turn]

    def _whoever_foresees(self) -> RedisAdmission:
        """Who was told at its last grant when to look again, so that this is tried too."""
        for number, instance in enumerate(self._instances):
            if instance._foreseen is not None:
                self._turn = number
                return instance
        return self._whoever()

    def _run(self, decision: Coroutine[Any, Any, _T], *, news: bool = True) -> _T:
        if news:  # which an instance hears by `watch`
            for one in self._instances:
                one._foreseen = None
        decided = self._loop.run_until_complete(decision)
        epochs = {one._decisions.epoch for one in self._instances}
        assert len(epochs) <= 1, "The Redis of this test lost its state: it was emptied, or is another one."
        return decided


def worth_telling(payer: PayerStatus) -> bool:
    """Memory goes on naming a payer of which nothing is known any more, for a while."""
    return bool(payer.waiting or payer.in_flight or payer.median_seconds) or payer.breaker is not BreakerState.CLOSED


def assert_same_moment(theirs: float | None, ours: float | None) -> None:
    """But for the last digits."""
    assert (theirs is None) == (ours is None)
    if theirs is not None:
        assert theirs == pytest.approx(ours)


def assert_same_place(theirs: QueuePlace | None, ours: QueuePlace | None) -> None:
    """But for the last digits of an estimate."""
    assert (theirs is None) == (ours is None)
    if theirs is not None and ours is not None:
        assert theirs.queue_position == ours.queue_position
        assert theirs.estimated_wait_seconds == pytest.approx(ours.estimated_wait_seconds)
