"""Who may have how many sockets: here, and over all instances."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest

from bus.errors import StateUnavailable
from bus.ids import MemberId
from bus.metrics import Metrics
from delivery.caller import Caller, Role
from delivery.connections import Connections, Holder
from delivery.endings import Ending
from delivery.errors import TooManyConnections
from tests.delivery.harness import Harness
from tests.delivery.issued import TENANT, member_token
from tests.delivery.manual_clock import NOW, ManualClock


class Socket:
    async def end(self, ending: Ending, reason: str) -> None: ...


class Shared:
    """Counts of other instances; asked slowly, or away."""

    def __init__(self, elsewhere: int = 0) -> None:
        self.elsewhere = elsewhere
        self.away = False
        self.asked: list[int] = []

    async def claim(self, holder: Holder, count: int, limit: int) -> bool:
        self.asked.append(count)
        await asyncio.sleep(0)
        if self.away:
            raise StateUnavailable("away")
        return self.elsewhere + count <= limit


def caller(member: str = "m-1") -> Caller:
    return Caller(
        subject=member,
        tenant_id=TENANT,
        roles=frozenset({Role.MEMBER}),
        member_id=MemberId(member),
        expires_at=NOW + timedelta(hours=1),
    )


def registry(clock: ManualClock | None = None, **limits: int) -> tuple[Connections, Metrics]:
    metrics = Metrics()
    return Connections(metrics=metrics, clock=clock or ManualClock(), **limits), metrics


def refused(metrics: Metrics, limit: str) -> float:
    return metrics.registry.get_sample_value("covey_refusals_total", {"limit": limit}) or 0.0


async def enter(connections: Connections, address: str | None = None, member: str = "m-1") -> Socket:
    socket = Socket()
    connections.open(socket, address)
    await connections.claim(caller(member))
    connections.admit(socket, caller(member))
    return socket


async def test_a_members_sockets_are_counted_over_all_instances() -> None:
    connections, metrics = registry(per_member=3)
    connections.share(Shared(elsewhere=2))
    await enter(connections)
    with pytest.raises(TooManyConnections):
        await enter(connections)
    assert refused(metrics, "connections_member") == 1


async def test_sockets_that_come_together_claim_a_place_each() -> None:
    connections, _ = registry(per_member=3)
    shared = Shared()
    connections.share(shared)
    came = await asyncio.gather(*(enter(connections) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, Socket) for one in came) == 3
    assert shared.asked == [1, 2, 3, 4, 5]
    assert connections.counts == {Holder.of(caller()): 3}


async def test_while_others_cannot_be_asked_the_own_count_decides_and_nobody_waits() -> None:
    clock = ManualClock()
    connections, _ = registry(clock, per_member=2)
    shared = Shared(elsewhere=50)
    shared.away = True
    connections.share(shared)
    for _ in range(2):
        await enter(connections)
    assert len(shared.asked) == 1
    with pytest.raises(TooManyConnections):
        await enter(connections)
    clock.advance(5)
    shared.away = False
    with pytest.raises(TooManyConnections):
        await enter(connections, member="m-2")


@pytest.mark.parametrize(
    ("addresses", "together"),
    [
        (["203.0.113.7", "203.0.113.7", "::ffff:203.0.113.7"], True),
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"], True),
        (["203.0.113.7", "203.0.113.8", "203.0.113.9"], False),
        (["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"], False),
        (["127.0.0.1", "127.0.0.1", "::1"], False),
        (["a socket file", "a socket file", "a socket file"], False),
    ],
    ids=str,
)
async def test_an_address_has_a_limit_and_this_machine_none(addresses: list[str], together: bool) -> None:
    connections, metrics = registry(per_address=2)
    first, *_ = [await enter(connections, address, address) for address in addresses[:2]]
    if not together:
        await enter(connections, addresses[2], "m-3")
        return
    with pytest.raises(TooManyConnections):
        await enter(connections, addresses[2], "m-3")
    assert refused(metrics, "connections_address") == 1
    connections.close(first)
    (refused_one,) = connections._waiting
    connections.close(refused_one)
    await enter(connections, addresses[2], "m-3")


async def test_a_trusted_proxy_tells_whose_address_it_is_and_the_refusal_comes_after_the_ack() -> None:
    async with contextlib.AsyncExitStack() as stack:
        harness = await stack.enter_async_context(Harness(per_address=1, trusted_proxies=["127.0.0.1"]).serving())
        talks = []
        for address in ("203.0.113.7", "203.0.113.8", "203.0.113.7"):
            talk = await stack.enter_async_context(harness.socket(forwarded_for=address))
            await talk.init(member_token())
            talks.append(talk)
        assert await talks[0].alive() and await talks[1].alive()
        assert await talks[2].closed() == (1013, "Too many sockets: an address may have 1 at once.")


async def test_nothing_of_closed_sockets_stays() -> None:
    connections, metrics = registry()
    connections.share(Shared())
    for socket in [await enter(connections, "203.0.113.7") for _ in range(3)]:
        connections.close(socket)
        connections.close(socket)
    assert len(connections) == 0 and not connections.counts
    assert not connections._addresses and not connections._per_address_now and not connections._coming
    assert not connections._doors and metrics.connections.labels("socket")._value.get() == 0
