"""How often a member may ask: one token bucket each, for both doors together."""

from __future__ import annotations

from collections import OrderedDict

from bus.clock import Clock
from bus.ids import MemberId, TenantId
from delivery.caller import Caller
from delivery.errors import RateLimited


class _Bucket:
    __slots__ = ("left", "touched")

    def __init__(self, left: float, touched: float) -> None:
        self.left = left
        self.touched = touched


class Rates:
    """Buckets of `burst` operations that refill at `operations_per_second`; services and operators have none.

    A bucket that is full again is forgotten, so the table holds only members of the last seconds. Past `capacity` the
    bucket that was touched longest ago goes first.
    """

    def __init__(
        self, *, clock: Clock, operations_per_second: float = 100.0, burst: float = 200.0, capacity: int = 50_000
    ) -> None:
        self._clock = clock
        self._per_second = operations_per_second
        self._burst = burst
        self._capacity = capacity
        self._buckets: OrderedDict[tuple[TenantId, MemberId], _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Members who asked within the time a bucket takes to refill."""
        self._forget(self._clock.monotonic())
        return len(self._buckets)

    def take(self, caller: Caller) -> None:
        """Count one operation. Raises RateLimited."""
        if caller.member_id is None or caller.is_service or caller.is_operator:
            return
        now = self._clock.monotonic()
        key = (caller.tenant_id, caller.member_id)
        bucket = self._buckets.pop(key, None) or _Bucket(self._burst, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.touched) * self._per_second)
        bucket.touched = now
        self._buckets[key] = bucket
        self._forget(now)
        if bucket.left < 1.0:
            raise RateLimited("Too many operations: ask less often.")
        bucket.left -= 1.0

    def _forget(self, now: float) -> None:
        refilled_before = now - self._burst / self._per_second
        while self._buckets:
            key, bucket = next(iter(self._buckets.items()))
            if bucket.touched > refilled_before and len(self._buckets) <= self._capacity:
                return
            del self._buckets[key]
