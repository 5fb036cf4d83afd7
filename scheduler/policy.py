"""The numbers that admission decides by."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from bus.events import Priority
from bus.ids import TenantId

DEFAULT_FLOORS: Final[Mapping[Priority, int]] = MappingProxyType({Priority.ENROLLMENT: 1, Priority.BACKGROUND: 1})


class BreakerPolicy(Struct, frozen=True, kw_only=True):
    """When a payer counts as down, and when it is tried again."""

    failures: int = 5
    """So many in a row open the breaker,"""
    run_seconds: float = 30.0
    """or a second failure in a row that comes this long after the first."""
    open_seconds: float = 60.0
    """How long nothing is asked of the payer before one probe is."""


class AdmissionPolicy(Struct, frozen=True, kw_only=True):
    """How many calls, for whom, for how long."""

    slots: int = 15
    slots_per_payer: int = 5
    lease_seconds: float = 125.0
    """Not less than the longest time the third party may count a call."""
    queue_limit: int = 10_000
    """Calls that may wait (see `AdmissionCore.room`)."""
    floors: Mapping[Priority, int] = DEFAULT_FLOORS
    """Calls in flight that a class is not kept below while it waits.

    Where the floors would take every slot there are none: a handful of slots goes by priority alone.
    """
    weights: Mapping[TenantId, float] = MappingProxyType({})
    """Tenants' shares of slot-time relative to each other; 1 where none is given."""
    breaker: BreakerPolicy = BreakerPolicy()

    def floor(self, priority: Priority) -> int:
        """The class's floor, as far as the slots allow any."""
        return self.floors.get(priority, 0) if sum(self.floors.values()) < self.slots else 0
