"""Tokens that end before their time: by their id, by their member, or all of a tenant.

What is revoked is known to every instance within a second, ends live connections and refuses new ones, and is
remembered as long as such tokens can live.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from bus.clock import Clock
from bus.ids import MemberId, TenantId, derived_id
from delivery.caller import Caller
from delivery.connections import Connection, Connections
from delivery.endings import Ending
from delivery.errors import RevocationsFull

_CLOSE_SECONDS: Final = 5.0
"""A reader that stalls is not waited for longer: what it could do ended before its close code is sent."""
_FORGET_SECONDS: Final = 60.0
_LOOKED_AT_ONCE: Final = 200
"""Connections, a millisecond or two: others get a turn between."""


class Revoked(Struct, frozen=True, kw_only=True):
    """What ended; nobody's id is told."""

    name: str
    """Of a token, a member or a tenant, as a hash."""
    at: int
    """Seconds since 1970: of a member or tenant, what began up to then has ended."""
    until: int
    """Seconds since 1970: no such token can be alive after that."""


def token_name(tenant_id: TenantId, token_id: str) -> str:
    """One token, by its `jti`; and the sockets that were opened by connect tokens which it fetched."""
    return derived_id("revoked token", tenant_id, token_id)


def member_name(tenant_id: TenantId, member_id: MemberId) -> str:
    """Every token of a member."""
    return derived_id("revoked member", tenant_id, member_id)


def tenant_name(tenant_id: TenantId) -> str:
    """Every token of a tenant: members', services' and operators'."""
    return derived_id("revoked tenant", tenant_id)


class Learner(Protocol):
    """What a store tells."""

    def learn(self, revoked: Iterable[Revoked]) -> None:
        """These hold from now on."""
        ...

    def learn_all(self, kept: Iterable[Revoked]) -> None:
        """The same, of all that is kept."""
        ...

    @property
    def known(self) -> Sequence[Revoked]:
        """All that hold, as far as is known here."""
        ...


class RevocationStore(Protocol):
    """Where revocations outlive the process. Adapters: a file, Redis."""

    async def load(self) -> Sequence[Revoked]:
        """All that is kept. Raises StateUnavailable."""
        ...

    async def keep(self, revoked: Revoked) -> None:
        """Keep it, and tell every instance. Raises StateUnavailable, and then nobody knows of it."""
        ...

    async def follow(self, learner: Learner) -> None:
        """Tell the learner all that is kept, and what comes, for ever."""
        ...


class Revocations:
    """What is revoked, as this instance knows it. `run` goes on beside the doors."""

    def __init__(
        self,
        store: RevocationStore,
        *,
        connections: Connections,
        clock: Clock,
        kept_seconds: float = 86_400.0,
        capacity: int = 100_000,
    ) -> None:
        """`kept_seconds` is at least how long any token lives."""
        self._store = store
        self._connections = connections
        self._clock = clock
        self._kept_seconds = kept_seconds
        self._capacity = capacity
        self._held: dict[str, Revoked] = {}
        self._learned = asyncio.Event()
        self.loaded = False
        """Whether what was revoked before this start is known."""

    def __len__(self) -> int:
        return len(self._held)

    def holds(self, caller: Caller) -> bool:
        """Whether this caller's token is revoked."""
        if not self._held:
            return False
        tenant_id = caller.tenant_id
        for token_id in (caller.token_id, caller.session_token_id):
            if token_id is not None and token_name(tenant_id, token_id) in self._held:
                return True
        if caller.member_id is not None and self._ended(member_name(tenant_id, caller.member_id), caller):
            return True
        return self._ended(tenant_name(tenant_id), caller)

    async def load(self) -> None:
        """Learn what is kept. Raises StateUnavailable."""
        self.learn_all(await self._store.load())

    async def revoke(self, name: str) -> Revoked:
        """End what goes by this name, now and everywhere. Raises StateUnavailable, RevocationsFull."""
        if name not in self._held and len(self._held) >= self._capacity:
            raise RevocationsFull(f"{self._capacity:,} revocations are remembered already: revoke the whole tenant.")
        now = int(self._clock.now().timestamp())
        revoked = Revoked(name=name, at=now, until=now + int(self._kept_seconds) + 1)
        await self._store.keep(revoked)
        self.learn([revoked])
        return revoked

    def learn(self, revoked: Iterable[Revoked]) -> None:
        """See Learner. What another instance revoked is taken also beyond the capacity."""
        for one in revoked:
            held = self._held.get(one.name)
            if held is None or held.at < one.at:
                self._held[one.name] = one
                self._learned.set()

    def learn_all(self, kept: Iterable[Revoked]) -> None:
        """See Learner."""
        self.learn(kept)
        self.loaded = True

    @property
    def known(self) -> Sequence[Revoked]:
        """See Learner."""
        return list(self._held.values())

    async def run(self) -> None:
        """End connections whose token was revoked, and forget what no token can outlive, for ever."""
        async with asyncio.TaskGroup() as all_of_it:
            all_of_it.create_task(self._store.follow(self), name="revocations store")
            all_of_it.create_task(self._forget(), name="revocations forget")
            while True:
                await self._learned.wait()
                self._learned.clear()
                for number, (connection, caller) in enumerate(self._connections.callers(), start=1):
                    if number % _LOOKED_AT_ONCE == 0:
                        await asyncio.sleep(0)  # whoever comes meanwhile is looked at by the doors
                    if self.holds(caller):
                        all_of_it.create_task(_close(connection), name="revocations close")

    async def _forget(self) -> None:
        while True:
            await self._clock.sleep(_FORGET_SECONDS)
            now = self._clock.now().timestamp()
            self._held = {name: one for name, one in self._held.items() if one.until > now}

    def _ended(self, name: str, caller: Caller) -> bool:
        revoked = self._held.get(name)
        return revoked is not None and (caller.issued_at is None or int(caller.issued_at.timestamp()) <= revoked.at)


async def _close(connection: Connection) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.end(Ending.REVOKED, "The token was revoked: connect again with a new one.")
