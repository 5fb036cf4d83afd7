"""Which sockets are open, whose they are, and how many of them one caller may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from bus.ids import TenantId
from bus.metrics import Metrics
from delivery.caller import Caller
from delivery.endings import Ending
from delivery.errors import TooManyConnections


class Connection(Protocol):
    """An open socket, as far as others may act on it."""

    async def end(self, ending: Ending, reason: str) -> None:
        """Close it; whatever runs on it is ended and nothing more is sent. Again changes nothing."""
        ...


class Holder(Struct, frozen=True, kw_only=True):
    """Whom a socket counts for: a member, or a service or operator by the subject of its token."""

    tenant_id: TenantId
    kind: str
    """`member`, `service` or `operator`."""
    name: str

    @classmethod
    def of(cls, caller: Caller) -> Holder:
        if caller.is_service:
            return cls(tenant_id=caller.tenant_id, kind="service", name=caller.subject)
        if caller.member_id is not None:
            return cls(tenant_id=caller.tenant_id, kind="member", name=caller.member_id)
        return cls(tenant_id=caller.tenant_id, kind="operator", name=caller.subject)


class Connections:
    """The registry of one instance. A socket is opened when accepted, and admitted once its caller is known.

    `max_connections` counts both. Those not admitted yet may have the places that are free, and a tenth more, so that
    in a full house they can be told (only after the ack will all clients come back).
    """

    def __init__(
        self, *, metrics: Metrics, max_connections: int = 10_000, per_member: int = 50, per_service: int = 1000
    ) -> None:
        self._metrics = metrics
        self._max_connections = max_connections
        self._per_member = per_member
        self._per_service = per_service
        self._waiting: dict[Connection, None] = {}
        """In the order of their coming."""
        self._holders: dict[Connection, Holder] = {}
        self._counts: Counter[Holder] = Counter()

    def __len__(self) -> int:
        """Open sockets, whether their caller is known or not."""
        return len(self._waiting) + len(self._holders)

    def open(self, connection: Connection) -> Connection | None:
        """A handshake was accepted; give the socket that has to go for it, and counts no more.

        That is the one which has waited longest: honest clients say who they are at once, so that whoever floods the
        instance with silent sockets crowds out its own.
        """
        self._waiting[connection] = None
        room = max(self._max_connections - len(self._holders), 0) + max(self._max_connections // 10, 1)
        crowded_out = next(iter(self._waiting)) if len(self._waiting) > room else None
        if crowded_out is not None:
            del self._waiting[crowded_out]
        self._metrics.connections.set(len(self))
        return crowded_out

    def admit(self, connection: Connection, caller: Caller) -> None:
        """Count the socket for its caller. Raises TooManyConnections."""
        if len(self._holders) >= self._max_connections:
            raise TooManyConnections("This instance has all the sockets it takes: try again.")
        holder = Holder.of(caller)
        limit = self._per_service if holder.kind == "service" else self._per_member
        if self._counts[holder] >= limit:
            raise TooManyConnections(f"Too many sockets: a {holder.kind} may have {limit} at once.")
        self._waiting.pop(connection, None)
        self._holders[connection] = holder
        self._counts[holder] += 1

    def close(self, connection: Connection) -> None:
        """The socket is gone. Again changes nothing."""
        self._waiting.pop(connection, None)
        holder = self._holders.pop(connection, None)
        self._metrics.connections.set(len(self))
        if holder is not None:
            self._counts[holder] -= 1
            if not self._counts[holder]:
                del self._counts[holder]

    @property
    def counts(self) -> Mapping[Holder, int]:
        """Admitted sockets, by whom they count for."""
        return self._counts.copy()

    def admitted(self) -> list[Connection]:
        """The sockets whose caller is known; the order is that of their admission."""
        return list(self._holders)
