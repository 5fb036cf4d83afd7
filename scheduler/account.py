"""A tenant's account in one class: the measure of start-time fair queuing."""

from __future__ import annotations

from bus.ids import TenantId


class Account:
    """Up to where a tenant was served, in slot-seconds by its weight (its start tag)."""

    __slots__ = ("in_flight", "start", "tenant_id", "weight")

    def __init__(self, tenant_id: TenantId, start: float, weight: float) -> None:
        self.tenant_id = tenant_id
        self.start = start
        self.weight = weight
        self.in_flight = 0
        """Calls charged by an estimate, to be corrected yet."""

    def charge(self, start: float, seconds: float) -> None:
        """A call begins at that start tag, at an estimate of its slot-time."""
        self.start = start + seconds / self.weight
        self.in_flight += 1

    def correct(self, seconds: float) -> None:
        """A call that was charged took so much longer (or, negative, less long)."""
        self.start += seconds / self.weight
        self.in_flight -= 1
