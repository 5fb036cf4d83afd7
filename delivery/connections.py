"""Which sockets are open, whose they are, and how many of them one caller may have."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Final, NoReturn, Protocol, TypeVar

from msgspec import Struct

from bus.clock import Clock, SystemClock
from bus.errors import StateUnavailable
from bus.ids import TenantId
from bus.metrics import Metrics
from delivery.caller import Caller
from delivery.endings import Ending
from delivery.errors import TooManyConnections

_ASKING_SECONDS: Final = 1.0
"""Whoever answers slower than this about other instances' sockets counts as away: nobody waits longer to connect."""
_AWAY_SECONDS: Final = 5.0
"""After that it is asked again."""
_IPV6_NETWORK_BITS: Final = 64
"""What one subscriber is given: its addresses are one."""


_Key = TypeVar("_Key")


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


class SharedCounts(Protocol):
    """Sockets of all instances together. Adapter: Redis. May raise StateUnavailable."""

    async def claim(self, holder: Holder, count: int, limit: int) -> bool:
        """Register `count` sockets of the holder on this instance; False, changing nothing, where all instances
        together would then have more than `limit`."""
        ...


class _Seat(Struct, frozen=True):
    caller: Caller
    holder: Holder


class Connections:
    """The registry of one instance. A socket is opened when accepted, and admitted once its caller is known.

    `max_connections` counts both. Those not admitted yet may have the places that are free, and a tenth more, so that
    in a full house they can be told (only after the ack will all clients come back). For the same reason an address
    that has too many is told at its admission.
    """

    def __init__(
        self,
        *,
        metrics: Metrics,
        max_connections: int = 10_000,
        per_member: int = 50,
        per_service: int = 1000,
        per_address: int = 2000,
        clock: Clock | None = None,
    ) -> None:
        self._metrics = metrics
        self._max_connections = max_connections
        self._per_member = per_member
        self._per_service = per_service
        self._per_address = per_address
        self._clock = clock or SystemClock()
        self._waiting: dict[Connection, None] = {}
        """In the order of their coming."""
        self._seats: dict[Connection, _Seat] = {}
        self._counts: Counter[Holder] = Counter()
        self._doors: dict[Connection, str] = {}
        self._addresses: dict[Connection, str] = {}
        self._per_address_now: Counter[str] = Counter()
        self._coming: Counter[Holder] = Counter()
        """Sockets whose place among all instances is being asked for."""
        self._shared: SharedCounts | None = None
        self._shared_away_until = 0.0

    def __len__(self) -> int:
        """Open sockets, whether their caller is known or not."""
        return len(self._waiting) + len(self._seats)

    def share(self, counts: SharedCounts) -> None:
        """From now on limits hold over all instances, as far as these can be asked."""
        self._shared = counts

    def open(self, connection: Connection, address: str | None = None, *, door: str = "socket") -> Connection | None:
        """A handshake was accepted; give the socket that has to go for it, and counts no more.

        That is the one which has waited longest: honest clients say who they are at once, so that whoever floods the
        instance with silent sockets crowds out its own. `address` is the peer's; one of this machine, where a proxy
        of ours may stand for everybody, is not counted. `door` is the metrics' label.
        """
        self._doors[connection] = door
        self._metrics.connections.labels(door).inc()
        self._waiting[connection] = None
        network = _network(address)
        if network is not None:
            self._addresses[connection] = network
            self._per_address_now[network] += 1
        room = max(self._max_connections - len(self._seats), 0) + max(self._max_connections // 10, 1)
        crowded_out = next(iter(self._waiting)) if len(self._waiting) > room else None
        if crowded_out is not None:
            del self._waiting[crowded_out]
            self._metrics.refusals.labels("connections_waiting").inc()
            self._leave(crowded_out)
        return crowded_out

    async def claim(self, caller: Caller) -> None:
        """Ask for a place among all instances' sockets; `admit` is to follow without a pause.

        Where instances cannot be asked, what is open on this one decides alone. Raises TooManyConnections.
        """
        if self._shared is None or self._clock.monotonic() < self._shared_away_until:
            return
        holder = Holder.of(caller)
        limit = self._limit(holder)
        self._coming[holder] += 1
        try:
            async with asyncio.timeout(_ASKING_SECONDS):
                count = self._counts[holder] + self._coming[holder]
                claimed = await self._shared.claim(holder, count, limit)
        except (StateUnavailable, TimeoutError):
            self._shared_away_until = self._clock.monotonic() + _AWAY_SECONDS
        else:
            if not claimed:
                self._refuse(f"connections_{holder.kind}", _too_many(holder, limit))
        finally:
            self._coming[holder] -= 1
            if not self._coming[holder]:
                del self._coming[holder]

    def admit(self, connection: Connection, caller: Caller) -> None:
        """Count the socket for its caller. Raises TooManyConnections."""
        if len(self._seats) >= self._max_connections:
            self._refuse("connections_instance", "This instance has all the sockets it takes: try again.")
        network = self._addresses.get(connection)
        if network is not None and self._per_address_now[network] > self._per_address:
            self._refuse("connections_address", f"Too many sockets: an address may have {self._per_address} at once.")
        holder = Holder.of(caller)
        limit = self._limit(holder)
        if self._counts[holder] >= limit:
            self._refuse(f"connections_{holder.kind}", _too_many(holder, limit))
        self._waiting.pop(connection, None)
        self._seats[connection] = _Seat(caller, holder)
        self._counts[holder] += 1

    def renew(self, connection: Connection, caller: Caller) -> None:
        """The socket lives by another token of the same caller now."""
        seat = self._seats.get(connection)
        if seat is not None:
            self._seats[connection] = _Seat(caller, seat.holder)

    def close(self, connection: Connection) -> None:
        """The socket is gone. Again changes nothing."""
        self._waiting.pop(connection, None)
        seat = self._seats.pop(connection, None)
        if seat is not None:
            _less(self._counts, seat.holder)
        self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        door = self._doors.pop(connection, None)
        if door is not None:
            self._metrics.connections.labels(door).dec()
        network = self._addresses.pop(connection, None)
        if network is not None:
            _less(self._per_address_now, network)

    @property
    def counts(self) -> Mapping[Holder, int]:
        """Admitted sockets, by whom they count for."""
        return self._counts.copy()

    def admitted(self) -> list[Connection]:
        """The sockets whose caller is known; the order is that of their admission."""
        return list(self._seats)

    def callers(self) -> list[tuple[Connection, Caller]]:
        """The same, each with its caller."""
        return [(connection, seat.caller) for connection, seat in self._seats.items()]

    def _limit(self, holder: Holder) -> int:
        return self._per_service if holder.kind == "service" else self._per_member

    def _refuse(self, limit: str, words: str) -> NoReturn:
        self._metrics.refusals.labels(limit).inc()
        raise TooManyConnections(words)


def _too_many(holder: Holder, limit: int) -> str:
    return f"Too many sockets: a {holder.kind} may have {limit} at once."


def _less(counts: Counter[_Key], key: _Key) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def _network(address: str | None) -> str | None:
    """Whose addresses count as one; None where they are not counted."""
    if address is None:
        return None
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return None if parsed.is_loopback else str(int(parsed) >> _IPV6_NETWORK_BITS)
        parsed = parsed.ipv4_mapped
    return None if parsed.is_loopback else str(parsed)
