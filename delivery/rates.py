"""How much a member may ask: one token bucket each, for both doors together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from bus.clock import Clock
from bus.ids import MemberId, TenantId
from delivery.caller import Caller
from delivery.errors import RateLimited

_Key = tuple[TenantId, MemberId]


class _Bucket:
    __slots__ = ("left", "touched")

    def __init__(self, left: float, touched: float) -> None:
        self.left = left
        self.touched = touched


class Rates:
    """Buckets of `burst` operations that refill at `operations_per_second`; services and operators have none.

    The door takes one operation before it does anything; what turns out to cost as much as several is charged for the
    rest, so that the next ones wait. A bucket that is full again is forgotten, so the table holds only members of the
    last seconds. Past `capacity` the bucket that was touched longest ago goes first.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        operations_per_second: float = 100.0,
        burst: float = 200.0,
        capacity: int = 50_000,
        tell: Callable[[], object] = lambda: None,
    ) -> None:
        """`tell` hears of every refusal."""
        self._clock = clock
        self._per_second = operations_per_second
        self._burst = burst
        self._capacity = capacity
        self._tell = tell
        self._buckets: OrderedDict[_Key, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Members who asked within the time their buckets take to refill."""
        self._forget_full(self._clock.monotonic())
        return len(self._buckets)

    def take(self, caller: Caller) -> None:
        """Count one operation. Raises RateLimited."""
        key = _key(caller)
        if key is None:
            return
        bucket = self._refilled(key)
        if bucket.left < 1.0:
            self._tell()
            raise RateLimited("Too many operations, or too costly ones: ask less often.")
        bucket.left -= 1.0

    def charge(self, caller: Caller, operations: int) -> None:
        """Count an operation that was let in as so many more. Nobody comes to owe more than a burst."""
        key = _key(caller)
        if key is not None and operations > 0:
            bucket = self._refilled(key)
            bucket.left = max(-self._burst, bucket.left - operations)

    def _refilled(self, key: _Key) -> _Bucket:
        now = self._clock.monotonic()
        bucket = self._buckets.pop(key, None) or _Bucket(self._burst, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.touched) * self._per_second)
        bucket.touched = now
        self._forget_full(now)
        self._buckets[key] = bucket
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        return bucket

    def _forget_full(self, now: float) -> None:
        while self._buckets:
            key, bucket = next(iter(self._buckets.items()))
            if bucket.left + (now - bucket.touched) * self._per_second < self._burst:
                return
            del self._buckets[key]


def _key(caller: Caller) -> _Key | None:
    """Whose bucket it is; None for those who have none."""
    if caller.member_id is None or caller.is_service or caller.is_operator:
        return None
    return (caller.tenant_id, caller.member_id)
