"""How long a socket lives: its token's warning, renewal and end, and patience with silence."""

from __future__ import annotations

import asyncio

import pytest

from delivery.lifetime import LifetimeLimits
from tests.delivery.harness import Harness, Talk, eventually
from tests.delivery.issued import member_token, sign

FOREVER = "subscription { forever }"


async def asleep(harness: Harness) -> None:
    """Until its one timer waits."""
    await eventually(lambda: harness.clock.sleeping == 1)


async def renewed(talk: Talk, token: str) -> dict[str, str]:
    """What the pong says to a ping that carries a token."""
    await talk.send({"type": "ping", "payload": {"authToken": token}})
    while (message := await talk.receive())["type"] != "pong":
        pass
    payload: dict[str, str] = message["payload"]
    assert token not in str(payload)
    return payload


async def running(harness: Harness, talk: Talk) -> None:
    """Something runs, so that it is not idle."""
    await talk.subscribe("1", FOREVER)
    await talk.receive()
    await asleep(harness)


async def test_a_client_is_told_by_a_ping_sixty_seconds_before_its_token_ends(served: Harness) -> None:
    async with served.member(member_token(ttl_seconds=300)) as talk:
        await running(served, talk)
        served.clock.advance(239)
        assert await talk.alive()
        served.clock.advance(1)
        warning = await talk.receive()
        assert warning == {"type": "ping", "payload": {"tokenExpiresAt": "2026-11-23T12:05:00Z"}}
        await talk.send({"type": "pong", "payload": warning["payload"]})
        assert await talk.alive()
        await asleep(served)
        served.clock.advance(60)
        assert (await talk.closed())[0] == 4403


async def test_a_new_token_in_a_ping_prolongs_the_socket_without_a_reconnect(served: Harness) -> None:
    async with served.member(member_token(ttl_seconds=120)) as talk:
        await running(served, talk)
        later = sign(exp=int(served.clock.now().timestamp()) + 600, jti="second")
        assert await renewed(talk, later) == {"tokenExpiresAt": "2026-11-23T12:10:00Z"}
        await asleep(served)
        served.clock.advance(300)
        assert await talk.alive()
        await asleep(served)
        served.clock.advance(300)
        assert (await talk.closed())[0] == 4403
    assert served.closes("expired") == 1


async def test_a_token_in_a_ping_that_ends_sooner_ends_the_socket_sooner(served: Harness) -> None:
    async with served.member() as talk:
        assert "tokenExpiresAt" in await renewed(talk, member_token(ttl_seconds=30))
        await asleep(served)
        served.clock.advance(30)
        assert (await talk.closed())[0] == 4403


@pytest.mark.parametrize(
    "changes",
    [{"mid": "m-2"}, {"sub": "somebody"}, {"tid": "globex"}, {"roles": ["member", "service"]}, {"exp": 1}],
    ids=str,
)
async def test_another_callers_token_is_refused_and_the_socket_lives_by_its_own(
    served: Harness, changes: dict[str, object]
) -> None:
    async with served.member(member_token(ttl_seconds=120)) as talk:
        await running(served, talk)
        assert (await renewed(talk, sign(**changes))).keys() == {"tokenRefused"}
        assert await talk.alive()
        served.clock.advance(120)
        assert (await talk.closed())[0] == 4403


async def test_a_token_in_a_ping_before_the_init_admits_nobody(served: Harness) -> None:
    async with served.socket() as talk:
        assert (await renewed(talk, member_token())).keys() == {"tokenRefused"}
        await talk.subscribe("1", "{ hello }")
        assert (await talk.closed())[0] == 4401


async def test_renewals_count_as_operations() -> None:
    async with Harness(operations_per_second=1, burst=2).serving() as harness, harness.member() as talk:
        answers = [await renewed(talk, member_token()) for _ in range(3)]
        assert [answer.keys() for answer in answers] == [{"tokenExpiresAt"}, {"tokenExpiresAt"}, {"tokenRefused"}]


async def test_a_socket_on_which_nothing_runs_is_closed_as_done_after_the_idle_time() -> None:
    async with Harness(lifetime=LifetimeLimits(idle_seconds=100)).serving() as harness, harness.member() as talk:
        await running(harness, talk)
        harness.clock.advance(100)
        assert await talk.alive()
        await talk.send({"type": "complete", "id": "1"})
        await eventually(lambda: not harness.metrics.subscriptions.labels("socket")._value.get())
        await asleep(harness)
        harness.clock.advance(100)
        assert await talk.closed() == (
            1000,
            "Nothing ran on this connection for long: connect again when it is needed.",
        )
        assert harness.closes("idle") == 1


async def test_nothing_of_a_renewed_socket_stays(served: Harness) -> None:
    async with served.member() as talk:
        for _ in range(5):
            await renewed(talk, member_token())
        await asleep(served)
    await eventually(lambda: not served.clock.sleeping)
    await asyncio.sleep(0)
    assert len(served.connections) == 0
