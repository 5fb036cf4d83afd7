"""The close codes of graphql-transport-ws that need more than a client's words: time, a stop, a fault, too much."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.conformance.conftest import signed
from tests.conformance.conversations import TALKING, hold
from tests.conformance.wire import Closed, Opcode, close_payload, framed, wire
from tests.delivery.harness import Harness
from tests.delivery.issued import member_token
from tests.delivery.sample_schema import SECRET
from tests.system.program import Server, readiness, serving


async def test_4403_when_the_token_ends_while_its_socket_is_open(program: Server) -> None:
    token = signed(program.data, ttl_seconds=3)
    async with wire(program.port) as talk:
        await talk.init(token)
        await hold(talk, TALKING["subscription"], token)
        end = await talk.closed()
        assert end.code == 4403 and end.reason
        assert await talk.dropped()
    async with wire(program.port) as again:
        await again.say({"type": "connection_init", "payload": {"authToken": token}})
        assert (await again.closed()).code == 4403


async def test_1012_when_the_program_is_told_to_stop_also_for_who_comes_late(tmp_path: Path) -> None:
    settings = {"payer_url": "http://127.0.0.1:9", "drain_seconds": "2"}
    async with serving(tmp_path, **settings) as server, wire(server.port) as early, wire(server.port) as late:
        token = signed(server.data)
        await early.init(token)
        await hold(early, TALKING["subscription"], token)
        stopped = asyncio.create_task(server.process.stop(signal.SIGTERM))
        await readiness(server.url, 503)
        await late.init(token)
        assert (await late.closed()).code == 1012
        assert (await early.closed()).code == 1012
        assert await stopped == 0


async def test_4500_when_something_breaks_that_nobody_expected() -> None:
    def broken(caller: object) -> object:
        raise ValueError(SECRET)

    async with Harness(context_factory=broken).serving() as harness, wire(harness.port) as talk:
        await talk.say({"type": "connection_init", "payload": {"authToken": member_token()}})
        assert await talk.closed() == Closed(4500, "Internal server error")


async def test_1009_when_a_message_is_over_64_kib_however_it_comes(program: Server, token: str) -> None:
    for frames in (
        [framed(Opcode.TEXT, bytes(65_537))],
        [framed(Opcode.TEXT, bytes(40_000), final=False), framed(Opcode.CONTINUATION, bytes(40_000))],
        [framed(Opcode.TEXT, bytes(65_537))[:14]],  # only announced
    ):
        async with wire(program.port) as talk:
            await talk.init(token)
            for frame in frames:
                await talk.write(frame)
            assert (await talk.closed()).code == 1009


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4400, 4999])
async def test_a_close_of_the_clients_is_returned(program: Server, token: str, code: int) -> None:
    async with wire(program.port) as talk:
        await talk.init(token)
        await talk.write(framed(Opcode.CLOSE, close_payload(code, "going")))
        assert (await talk.closed()).code == code
        assert await talk.dropped()
