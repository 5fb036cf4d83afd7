"""How many sockets a tenant's callers have, by instance: numbers only, nobody's id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from bus.ids import TenantId
from delivery.connections import Connections


class InstanceSockets(Struct, frozen=True, kw_only=True):
    """One instance, and the sockets it has of one tenant's callers."""

    instance: str
    by_kind: Mapping[str, int]
    """By `member`, `service` or `operator`."""


class Presence(Protocol):
    """All instances' sockets. Adapters: this process alone, Redis. May raise StateUnavailable."""

    async def of_tenant(self, tenant_id: TenantId) -> Sequence[InstanceSockets]:
        """Every living instance, by name, also those without a socket of the tenant."""
        ...


class OwnPresence:
    """A process that is alone."""

    def __init__(self, connections: Connections, instance: str) -> None:
        self._connections = connections
        self._instance = instance

    async def of_tenant(self, tenant_id: TenantId) -> Sequence[InstanceSockets]:
        """See Presence."""
        by_kind: Counter[str] = Counter()
        for holder, count in self._connections.counts.items():
            if holder.tenant_id == tenant_id:
                by_kind[holder.kind] += count
        return [InstanceSockets(instance=self._instance, by_kind=by_kind)]
