"""How sockets are limited, how they end, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bus.ids import MemberId
from delivery.caller import Caller, Role
from tests.delivery.harness import Harness, door_tasks, eventually
from tests.delivery.issued import TENANT, member_token, service_token, sign
from tests.delivery.manual_clock import NOW
from tests.delivery.sample_schema import ended


def member(ends_in_seconds: float = 3600) -> Caller:
    return Caller(
        subject="m-1",
        tenant_id=TENANT,
        roles=frozenset({Role.MEMBER}),
        member_id=MemberId("m-1"),
        expires_at=NOW + timedelta(seconds=ends_in_seconds),
    )


async def test_the_socket_ends_with_4403_when_its_token_does_and_its_streams_with_it(served: Harness) -> None:
    ended.clear()
    async with served.member(member_token(ttl_seconds=900)) as talk:
        await talk.subscribe("1", "subscription { forever }")
        await talk.receive()
        await eventually(lambda: served.clock.sleeping == 1)
        for _ in range(2):
            served.clock.advance(300)
            await asyncio.sleep(0.01)
            assert await talk.alive()
        served.clock.advance(300)
        assert (await talk.closed())[0] == 4403
    await eventually(lambda: ended == ["forever"])
    assert served.closes("expired") == 1


async def test_a_wall_clock_that_is_set_forward_ends_the_socket_within_five_minutes(served: Harness) -> None:
    async with served.member(member_token(ttl_seconds=86_400)) as talk:
        await eventually(lambda: served.clock.sleeping == 1)
        served.clock.jump_wall(timedelta(days=2))
        served.clock.advance(300)
        assert (await talk.closed())[0] == 4403


async def test_a_connect_token_opens_a_socket_that_ends_with_the_session_that_fetched_it(served: Harness) -> None:
    issued = served.connect_tokens.issue(member(ends_in_seconds=600))
    async with served.member(issued.token) as talk:
        await eventually(lambda: served.clock.sleeping == 1)
        served.clock.advance(300)  # the connect token itself has ended; its socket stays
        await asyncio.sleep(0.01)
        assert await talk.alive()
        served.clock.advance(300)
        assert (await talk.closed())[0] == 4403


async def test_a_subscription_over_the_limit_is_an_error_for_its_id_and_the_others_run_on(served: Harness) -> None:
    async with served.member() as talk:
        for number in range(5):
            await talk.subscribe(str(number), "subscription { forever }")
            await talk.receive()
        await talk.subscribe("5", "subscription { forever }")
        message = await talk.receive()
        assert (message["id"], message["type"]) == ("5", "error")
        assert message["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
        await talk.send({"type": "complete", "id": "0"})
        await talk.subscribe("6", "{ hello }")
        assert (await talk.receive())["id"] == "6"
        assert served.metrics.subscriptions.labels("socket")._value.get() == 4


async def test_operations_over_the_rate_are_errors_for_their_ids() -> None:
    async with Harness(operations_per_second=1, burst=2).serving() as harness, harness.member() as talk:
        kinds = []
        for number in range(3):
            await talk.subscribe(str(number), "{ hello }")
            kinds.append((await talk.receive())["type"])
            if kinds[-1] == "next":
                await talk.receive()
        assert kinds == ["next", "next", "error"]
        assert await talk.alive()


async def ack_then_close(harness: Harness, token: str) -> int:
    """A refused socket hears its ack first; gives the code after it."""
    async with harness.socket() as talk:
        await talk.init(token)
        return (await talk.closed())[0]


async def test_a_members_socket_too_many_is_acknowledged_and_closed_with_1013() -> None:
    async with Harness(per_member=1, per_service=2).serving() as harness, harness.member() as first:
        assert await ack_then_close(harness, member_token()) == 1013
        async with harness.member(member_token("m-2")) as other:
            assert await other.alive()
        assert await first.alive()
        assert harness.closes("try_later") == 1


async def test_services_and_operators_have_limits_of_their_own() -> None:
    async with Harness(per_member=1, per_service=2).serving() as harness:
        operator = sign(sub="op", roles=["operator"], mid=None)
        async with harness.member(service_token()), harness.member(service_token()), harness.member(operator):
            assert await ack_then_close(harness, service_token()) == 1013
            assert await ack_then_close(harness, operator) == 1013
            async with harness.member(service_token("another")) as other:
                assert await other.alive()


async def test_an_instance_that_is_full_acknowledges_and_closes_with_1013() -> None:
    async with Harness(max_connections=1).serving() as harness, harness.member():
        assert await ack_then_close(harness, member_token("m-2")) == 1013


async def test_silent_sockets_count_and_crowd_out_each_other_but_nobody_who_says_who_it_is() -> None:
    async with Harness(max_connections=3).serving() as harness, contextlib.AsyncExitStack() as silent:
        first = await silent.enter_async_context(harness.member())
        talks = [await silent.enter_async_context(harness.socket()) for _ in range(6)]
        for talk in talks[:3]:  # the others have the two free places, and the one for who is to be told
            assert (await talk.closed())[0] == 1013
        assert len(harness.connections) == 4
        assert harness.metrics.connections.labels("socket")._value.get() == 4
        async with harness.member(member_token("m-2")) as honest, harness.member(member_token("m-3")) as other:
            assert await honest.alive() and await other.alive() and await first.alive()
            assert len(harness.connections) == 4
            assert await ack_then_close(harness, member_token("m-4")) == 1013
    await eventually(lambda: len(harness.connections) == 0 and not door_tasks())
    assert harness.metrics.connections.labels("socket")._value.get() == 0


async def test_when_a_socket_goes_its_place_is_free_again() -> None:
    async with Harness(per_member=1).serving() as harness:
        for _ in range(3):
            async with harness.member() as talk:
                assert await talk.alive()
            await eventually(lambda: len(harness.connections) == 0)


@pytest.mark.parametrize("cut", ["close", "abort"])
async def test_after_connects_and_cuts_nothing_is_left(served: Harness, cut: str) -> None:
    ended.clear()

    async def visit(number: int) -> None:
        async with served.member(member_token(f"m-{number}")) as talk:
            await talk.subscribe("1", "subscription { forever }")
            await talk.receive()
            if cut == "abort":
                talk.connection.transport.abort()

    await asyncio.gather(*(visit(number) for number in range(30)))
    await eventually(lambda: len(served.connections) == 0 and not door_tasks())
    assert ended == ["forever"] * 30
    assert served.connections._counts == {}
    assert served.connections.admitted() == []
    assert served.metrics.connections.labels("socket")._value.get() == 0
    assert served.metrics.subscriptions.labels("socket")._value.get() == 0
    assert len(served.rates) == 30
    served.clock.advance(60)
    assert len(served.rates) == 0


async def test_a_client_that_leaves_before_the_ack_leaves_nothing(served: Harness) -> None:
    async with served.socket() as talk:
        await eventually(lambda: len(served.connections) == 1)
        talk.connection.transport.abort()
    await eventually(lambda: len(served.connections) == 0 and not door_tasks())


async def test_a_drain_tells_every_socket_to_come_back_spread_over_the_window() -> None:
    async with Harness(drain_seconds=10).serving() as harness:
        closed_at: list[float] = []

        async def stay(number: int) -> None:
            async with harness.member(member_token(f"m-{number}")) as talk:
                assert (await talk.closed())[0] == 1012
                closed_at.append(harness.clock.monotonic())

        visits = [asyncio.create_task(stay(number)) for number in range(10)]
        await eventually(lambda: len(harness.connections.admitted()) == 10)
        with capture_logs() as lines:
            draining = asyncio.create_task(harness.drain.run())
            await eventually(lambda: lines != [])
        assert [(line["event"], line["count"]) for line in lines] == [("closing_connections", 10)]
        for second in range(1, 11):
            await eventually(lambda: harness.clock.sleeping == 2)  # the drain, and the timers of all sockets
            assert len(closed_at) == second - 1
            harness.clock.advance(1)
            await eventually(lambda: len(closed_at) == second)  # noqa: B023 (waited for at once)
        await draining
        await asyncio.gather(*visits)
        assert closed_at == list(range(1, 11))


async def test_a_new_socket_in_a_drain_is_acknowledged_and_closed_with_1012(served: Harness) -> None:
    await served.drain.run()
    assert await ack_then_close(served, member_token()) == 1012


async def test_a_drain_leaves_a_socket_that_is_not_acknowledged_to_its_ack(served: Harness) -> None:
    async with served.socket() as talk:
        await eventually(lambda: len(served.connections) == 1)
        await served.drain.run()
        await talk.init(member_token())
        assert (await talk.closed())[0] == 1012


async def test_messages_after_a_close_do_not_count(served: Harness) -> None:
    async with served.socket() as talk:
        await talk.subscribe("1", "{ hello }")
        await talk.subscribe("2", "{ hello }")
        await talk.connection.send("not JSON")
        assert (await talk.closed())[0] == 4401
