"""Everybody at once: who waits, who is told to come back, and that what is live goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.caller import Caller
from delivery.errors import Crowded, TokenRefused
from delivery.keys import VerifyingKey
from delivery.storm import Gate
from delivery.tokens import Door
from tests.delivery.harness import Harness, Talk, eventually
from tests.delivery.issued import KEY, member_token
from tests.delivery.sample_schema import SCHEMA

STORM = 300


async def test_places_are_given_in_the_order_of_coming_and_no_more_than_there_are() -> None:
    gate = Gate(at_once=2, waiting=100)
    order: list[int] = []
    inside = most = 0

    async def come(number: int) -> None:
        nonlocal inside, most
        async with gate.place():
            inside += 1
            most = max(most, inside)
            order.append(number)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(come(number) for number in range(20)))
    assert order == list(range(20)) and most == 2


async def test_who_finds_too_many_waiting_is_refused_at_once() -> None:
    gate = Gate(at_once=1, waiting=1)
    async with gate.place():
        waits = asyncio.create_task(gate.place().__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(Crowded):
            await gate.place().__aenter__()
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
    async with gate.place():
        assert gate.waiting == 0


@given(st.lists(st.sampled_from(["come", "leave", "give up"]), max_size=40))
def test_no_place_is_lost_or_made_whoever_gives_up_when(steps: list[str]) -> None:
    async def scenario() -> None:
        gate = Gate(at_once=2, waiting=3)
        leave: list[asyncio.Event] = []
        people: list[asyncio.Task[None]] = []

        async def come(done: asyncio.Event) -> None:
            async with gate.place():
                await done.wait()

        for number, step in enumerate(steps):
            if step == "come":
                leave.append(asyncio.Event())
                people.append(asyncio.create_task(come(leave[-1])))
            elif people and step == "leave":
                leave[number % len(people)].set()
            elif people:
                people[number % len(people)].cancel()
            if number % 3:  # else two steps fall into one turn of the loop
                await asyncio.sleep(0)
        for event in leave:
            event.set()
        await asyncio.gather(*people, return_exceptions=True)
        assert gate.waiting == 0 and gate._free == 2

    asyncio.run(scenario())


async def come(harness: Harness, stack: AsyncExitStack, number: int) -> Talk:
    talk = await stack.enter_async_context(harness.socket())
    token = member_token(f"m-{number}")
    await talk.send({"type": "connection_init", "payload": {"authToken": token}})
    assert await talk.receive() == {"type": "connection_ack"}
    await talk.subscribe("1", "subscription { forever }")
    return talk


async def test_a_crowd_is_acknowledged_then_sent_away_one_by_one_and_what_it_asks_is_passed_over() -> None:
    async with (
        Harness(handshakes=Gate(at_once=1, waiting=0), come_back_seconds=10).serving() as harness,
        AsyncExitStack() as stack,
    ):
        async with harness.handshakes.place():
            crowd = [await come(harness, stack, number) for number in range(20)]
            assert harness.refusals("handshakes") == 20
        away = []
        for _ in range(10):
            harness.clock.advance(1)
            await eventually(lambda: all(due > harness.clock.monotonic() for due, _ in harness.clock._sleepers))
            away.append(harness.closes("crowded_handshakes"))
        assert away[-1] == 20 and len(set(away)) > 4
        for talk in crowd:
            code, reason = await talk.closed()
            assert (code, reason) == (1013, "Too many connect at once: try again shortly.")


class SlowIssuer:
    """Has one key at hand; another is long in coming."""

    def __init__(self) -> None:
        self.asked, self.comes = asyncio.Event(), asyncio.Event()

    async def key(self, key_id: str | None) -> VerifyingKey:
        if key_id == "unheard of":
            self.asked.set()
            await self.comes.wait()
            raise TokenRefused("There is no such key.")
        return await KEY.source.key(key_id)


async def test_an_issuer_that_is_slow_with_a_key_holds_up_only_whom_it_concerns() -> None:
    async with Harness(handshakes=Gate(at_once=1, waiting=0)).serving() as harness, harness.socket() as waits:
        harness.verifier._keys = issuer = SlowIssuer()
        unknown = jwt.encode({}, "k" * 32, algorithm="HS256", headers={"kid": "unheard of"})
        await waits.send({"type": "connection_init", "payload": {"authToken": unknown}})
        await issuer.asked.wait()
        async with harness.member() as talk:
            await talk.subscribe("1", "{ hello }")
            assert (await talk.receive())["type"] == "next"
        issuer.comes.set()
        assert (await waits.closed())[0] == 4403


async def test_who_listens_gets_turns_in_the_middle_of_a_storm() -> None:
    """Counted, not timed: how many were let in between one answer to the listener and the next."""
    at_once = 4
    gate = Gate(at_once=at_once, waiting=STORM)
    async with Harness(max_connections=2 * STORM, handshakes=gate).serving() as harness, AsyncExitStack() as stack:
        listener = await stack.enter_async_context(harness.member(member_token("listener")))
        crowd = [await stack.enter_async_context(harness.socket()) for _ in range(STORM)]
        verify, let_in, between = harness.verifier.verify, 0, []

        async def counted(token: str, door: Door) -> Caller:
            nonlocal let_in
            await asyncio.sleep(0)
            let_in += 1
            return await verify(token, door)

        harness.verifier.verify = counted  # type: ignore[method-assign]  # to count

        async def listen() -> None:
            while let_in < STORM:
                before = let_in
                assert await listener.alive()
                between.append(let_in - before)

        listening = asyncio.create_task(listen())
        await asyncio.gather(*(talk.init(member_token(f"m-{number}")) for number, talk in enumerate(crowd)))
        await listening
        assert max(between) <= 5 * at_once and len(between) > 20
        assert harness.refusals("handshakes") == 0 and gate.waiting == 0


async def test_operations_that_are_asked_for_at_once_begin_a_few_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by turns of the event loop: what is live gets one between."""
    turn, begun = 0, Counter[int]()

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    stream = type(SCHEMA).stream

    async def counted(*args: Any, **how: Any) -> object:
        begun[turn] += 1
        return await stream(*args, **how)

    monkeypatch.setattr(type(SCHEMA), "stream", counted)
    async with Harness().serving() as harness, harness.member() as talk, AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(harness.member(member_token(f"m-{n}"))) for n in range(40)]
        counting = asyncio.create_task(count_turns())
        for conversation in harness.connections.admitted():
            conversation.hear('{"id": "1", "type": "subscribe", "payload": {"query": "{ hello }"}}')  # type: ignore[attr-defined]
        for one in [talk, *crowd]:
            assert (await one.receive())["type"] == "next"
        counting.cancel()
    assert begun.total() == 41 and max(begun.values()) <= 4
