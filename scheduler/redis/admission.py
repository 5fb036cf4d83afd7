"""The adapter of the admission port for many instances: one state in Redis, one script a decision.

What crosses the wire is seconds from now, so that only the server's clock decides. An instance knows by heart which
calls it makes, and tells them to a server that may have forgotten (see docs/decisions/0010).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from msgspec.msgpack import Decoder
from redis.asyncio import Redis

from bus.errors import StateUnavailable
from bus.events import Priority
from bus.ids import CallId, NewId, PayerId, RequestId, TenantId
from bus.redis.connection import reaching
from scheduler.admission import (
    AdmissionStatus,
    Ask,
    BreakerChange,
    CallEnd,
    Grant,
    Joined,
    QueuePlace,
    Renewal,
    Settled,
)
from scheduler.errors import QueueFull
from scheduler.policy import AdmissionPolicy
from scheduler.redis.answers import Granted, Granting, Offered, Pictured, Told, place_of, status_of
from scheduler.redis.script import DEFAULT_SHARED, Answer, Decisions, SharedPolicy

_LONGEST_RETRY_AFTER_SECONDS: Final = 300
_ROOM_SECONDS: Final = 0.1
_SPARED_SHARE: Final = 0.1
"""Of the queue's limit: for what other instances take while this one does not ask."""
_ROOMS: Final = 1_000
_LISTEN_SECONDS: Final = 4.0
"""After so long without news the server is asked whether it is still there; it has as long again to say so. A line
that was cut in silence else looks as one on which nothing happens."""
_EPOCHS_AT_ONCE: Final = 5
"""So many states, each begun anew while the last was joined, are no accident that the next try would mend."""
_T = TypeVar("_T")

_NOTHING: Final[Decoder[None]] = Decoder(None)
_YES_OR_NO: Final = Decoder(bool)
_SECONDS: Final[Decoder[float | None]] = Decoder(float | None)
_ROOM: Final[Decoder[tuple[float | None, int]]] = Decoder(tuple[float | None, int])
_PLACE: Final[Decoder[tuple[int, float | None] | None]] = Decoder(tuple[int, float | None] | None)
_REQUESTS: Final[Decoder[tuple[RequestId, ...]]] = Decoder(tuple[RequestId, ...])
_OFFERED: Final = Decoder(Offered)
_GRANTED: Final = Decoder(Granting)
_TOLD: Final = Decoder(Told)
_PICTURED: Final = Decoder(Pictured)


class _Held(Struct, frozen=True):
    """A call of this instance that the third party may be counting."""

    granted: Granted
    expires: float
    granted_at: float
    settled: bool = False


class _Room(NamedTuple):
    """How many more will surely be taken, and until when that is believed."""

    places: int
    until: float


class _Foreseen(NamedTuple):
    """What Redis said with its last answer to `grant`: when to look again. It spares the questions that come behind,
    and holds until then, until this instance decides something else, or until it hears that another has."""

    now: float
    wakeup: float | None
    behind_a_grant: bool

    def holds(self, now: float) -> bool:
        """Whether that moment has not come yet."""
        return now == self.now or (self.now < now and (self.wakeup is None or now < self.wakeup))

    def rules_out_another(self, now: float) -> bool:
        """Whether the grant was the last one until then."""
        return self.behind_a_grant and self.holds(now) and (self.wakeup is None or self.wakeup > self.now)


class RedisAdmission:
    """One instance's part in what all instances decide. Raises StateUnavailable as soon as the client gives up."""

    def __init__(
        self,
        client: Redis,
        policy: AdmissionPolicy,
        new_id: NewId,
        *,
        shared: SharedPolicy = DEFAULT_SHARED,
        prefix: str = "{covey}:admission",
        callers_time: bool = False,
    ) -> None:
        """`callers_time` is for tests in virtual time: each decision is taken at its caller's `now` instead of at the
        server's time."""
        self._client = client
        self._prefix = prefix
        self._new_id = new_id
        self._decisions = Decisions(client, policy, shared, prefix=prefix, new_id=new_id, callers_time=callers_time)
        self._held: dict[CallId, _Held] = {}
        self._rooms: dict[tuple[TenantId, Priority], _Room] = {}
        self._spared = ceil(policy.queue_limit * _SPARED_SHARE)
        self._granting = asyncio.Lock()
        self._foreseen: _Foreseen | None = None
        self._state_lost = False

    async def room(self, tenant_id: TenantId, priority: Priority, now: float) -> None:
        """See Admission. While there is plenty of room, Redis is asked ten times a second, not for every request."""
        asked = (tenant_id, priority)
        known = self._rooms.get(asked)
        if known is not None and known.places > 0 and now < known.until:
            self._rooms[asked] = known._replace(places=known.places - 1)
            return
        arguments = {"tenant": tenant_id, "class": priority.rank}
        seconds, places = await self._decide("room", arguments, now, _ROOM)
        if seconds is not None:
            raise QueueFull(min(max(ceil(seconds), 1), _LONGEST_RETRY_AFTER_SECONDS))
        if len(self._rooms) >= _ROOMS:
            self._rooms.clear()
        self._rooms[asked] = _Room(places=places - self._spared - 1, until=now + _ROOM_SECONDS)

    async def offer(self, ask: Ask, now: float) -> QueuePlace | Joined:
        """See Admission."""
        arguments = {
            "request": ask.request_id,
            "tenant": ask.tenant_id,
            "payer": ask.payer_id,
            "question": ask.question_key,
            "class": ask.priority.rank,
            "deadline": ask.deadline - now,
            "not_before": ask.not_before - now,
        }
        offered = await self._decide("offer", arguments, now, _OFFERED)
        if offered.joined is not None:
            return Joined(call_id=offered.joined[0], lease_expires=now + offered.joined[1])
        return place_of(offered.place)

    async def grant(self, now: float) -> Grant | None:
        """See Admission."""
        if self._foreseen is not None and self._foreseen.rules_out_another(now):
            self._foreseen = self._foreseen._replace(behind_a_grant=False)
            return None
        async with self._granting:
            for call_id in [call_id for call_id, held in self._held.items() if held.expires <= now]:
                del self._held[call_id]
            while True:
                told = await self._decide("grant", {"call": self._new_id()}, now, _GRANTED, kept=True)
                if not told.more:
                    break
            wakeup = None if told.wakeup is None else now + told.wakeup
            self._foreseen = _Foreseen(now, wakeup, behind_a_grant=told.granted is not None)
            return None if told.granted is None else self._hold(told.granted, now)

    async def settle(self, call_id: CallId, end: CallEnd, now: float) -> Settled:
        """See Admission."""
        arguments = {"call": call_id, "finish": end.value}
        told = await self._decide("settle", arguments, now, _TOLD, subject=call_id, kept=True)
        held = self._held.pop(call_id, None)
        if held is not None and end in (CallEnd.TIMED_OUT, CallEnd.LOST):
            self._held[call_id] = msgspec.structs.replace(held, settled=True)
        change = told.breaker and BreakerChange(payer_id=told.breaker[0], available=told.breaker[1])
        return Settled(waiters=told.waiters, breaker=change, calls_wait=told.calls_wait)

    async def leave(self, request_id: RequestId, now: float) -> bool:
        """See Admission."""
        return await self._decide("leave", {"request": request_id}, now, _YES_OR_NO, subject=request_id, kept=True)

    async def expired(self, now: float) -> Sequence[RequestId]:
        """See Admission."""
        return await self._decide("expired", {}, now, _REQUESTS, kept=True)

    async def next_wakeup(self, now: float) -> float | None:
        """See Admission."""
        foreseen, self._foreseen = self._foreseen, None
        if foreseen is not None and foreseen.holds(now):
            return foreseen.wakeup
        seconds = await self._decide("next_wakeup", {}, now, _SECONDS)
        return None if seconds is None else now + seconds

    async def place(self, request_id: RequestId, now: float) -> QueuePlace | None:
        """See Admission."""
        told = await self._decide("place", {"request": request_id}, now, _PLACE)
        return None if told is None else place_of(told)

    async def hold(self, call_id: CallId, payer_id: PayerId, lease_expires: float, now: float) -> None:
        """See Admission."""
        arguments = {"call": call_id, "payer": payer_id, "expires": lease_expires - now}
        await self._decide("hold", arguments, now, _NOTHING)

    async def open_breaker(self, payer_id: PayerId, now: float) -> None:
        """See Admission."""
        await self._decide("open_breaker", {"payer": payer_id}, now, _NOTHING)

    async def vouch(self, now: float) -> None:
        """See Admission. Nothing where the state was lost since the last `renew`: what was read before may be of that
        state, and is looked at again once `renew` has told."""
        while not self._state_lost:
            answer = await self._decisions.take("vouch", "", {}, now)
            if answer.done:
                return
            await self._meet(answer, now)

    async def renew(self, now: float) -> Renewal:
        """See Admission."""
        abandoned = await self._decide("renew", {}, now, _REQUESTS, kept=True)
        lost, self._state_lost = self._state_lost, False
        return Renewal(state_lost=lost, abandoned=abandoned)

    async def watch(self, changed: Callable[[], None]) -> None:
        """See Admission."""
        own = self._decisions.instance.encode()
        with reaching():
            async with self._client.pubsub() as channel:
                await channel.subscribe(f"{self._prefix}:changed")
                asked = False
                while True:
                    message = await channel.get_message(timeout=_LISTEN_SECONDS)
                    if message is not None:
                        asked = False
                        # That it is subscribed, also after the line broke, rings for whatever was missed until then.
                        if message["type"] != "pong" and message["data"] != own:
                            self._foreseen = None
                            changed()
                    elif asked:
                        raise StateUnavailable("Redis tells no news any more.")
                    else:
                        asked = True
                        await channel.ping()

    async def status(self, now: float) -> AdmissionStatus:
        """See Admission."""
        return status_of(await self._decide("status", {}, now, _PICTURED))

    def _hold(self, granted: Granted, now: float) -> Grant:
        expires = now + granted.expires
        self._held[granted.call_id] = _Held(granted, expires, now)
        return Grant(
            call_id=granted.call_id,
            payer_id=granted.payer_id,
            tenant_id=granted.tenant_id,
            question_key=granted.question_key,
            waiters=tuple(waiter[0] for waiter in granted.waiters),
            lease_expires=expires,
            probe=granted.probe,
        )

    async def _decide(
        self,
        command: str,
        arguments: dict[str, Any],
        now: float,
        answers: Decoder[_T],
        *,
        subject: str = "",
        kept: bool = False,
    ) -> _T:
        self._foreseen = None
        for _ in range(_EPOCHS_AT_ONCE):
            answer = await self._decisions.take(command, subject, arguments, now, kept=kept)
            if answer.done:
                return answers.decode(answer.decided)
            if command == "grant":  # holds the lock already
                await self._register(now)
            else:
                await self._meet(answer, now)
        raise StateUnavailable("What Redis holds of the slots begins anew again and again.")

    async def _meet(self, answer: Answer, now: float) -> None:
        """Register in the epoch, unless another task has done so. Not while a grant is on its way: what it brings
        belongs to what this instance holds."""
        async with self._granting:
            if self._decisions.epoch != answer.epoch:
                await self._register(now)

    async def _register(self, now: float) -> None:
        """Tell the server, which may have forgotten, what this instance holds."""
        held = [_told_of(one, now) for one in self._held.values() if one.expires > now]
        for _ in range(_EPOCHS_AT_ONCE):
            registered = await self._decisions.take("register", "", {"held": held}, now)
            if registered.done:
                self._state_lost = self._state_lost or self._decisions.epoch != ""
                self._decisions.epoch = registered.epoch
                return
            # Else the state was found broken, and begins anew.
        raise StateUnavailable("What Redis holds of the slots begins anew again and again.")


def _told_of(held: _Held, now: float) -> dict[str, Any]:
    granted, passed = held.granted, now - held.granted_at
    return {
        "call": granted.call_id,
        "payer": granted.payer_id,
        "tenant": granted.tenant_id,
        "question": granted.question_key,
        "class": granted.priority,
        "expires": held.expires - now,
        "settled": held.settled,
        "waiters": [(waiter[0], waiter[1], waiter[2] - passed, waiter[3] - passed) for waiter in granted.waiters],
    }
