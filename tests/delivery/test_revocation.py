"""Tokens that end before their time, here and on every other instance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bus.errors import LogCorrupt, StateUnavailable
from bus.ids import MemberId
from bus.metrics import Metrics
from delivery.connections import Connections
from delivery.errors import RevocationsFull
from delivery.revocation import Revocations, member_name, tenant_name, token_name
from delivery.revocation_file import RevocationFile
from delivery.tokens import Door
from tests.delivery.harness import Harness, KeptRevocations, client_of, eventually
from tests.delivery.issued import TENANT, member_token, service_token, sign
from tests.delivery.manual_clock import NOW, ManualClock
from tests.delivery.test_socket_lifetime import member

MEMBER = member_name(TENANT, MemberId("m-1"))
EVERYBODY = tenant_name(TENANT)


@contextlib.asynccontextmanager
async def two_instances() -> AsyncIterator[tuple[Harness, Harness]]:
    kept = KeptRevocations()
    async with (
        Harness(kept=kept).serving() as one,
        Harness(kept=kept, clock=one.clock).serving() as other,
        one.revoking(),
        other.revoking(),
    ):
        yield one, other


@pytest.mark.parametrize("name", [MEMBER, EVERYBODY, token_name(TENANT, "t-m-1")])
async def test_a_revocation_ends_live_sockets_of_every_instance_and_refuses_new_ones(name: str) -> None:
    async with two_instances() as (one, other), other.member() as here, one.member() as there:
        await one.revocations.revoke(name)
        for talk in (here, there):
            assert await talk.closed() == (4403, "The token was revoked: connect again with a new one.")
        assert other.closes("revoked") == 1
        async with other.socket() as talk:
            await talk.send({"type": "connection_init", "payload": {"authToken": member_token()}})
            assert await talk.closed() == (4403, "The token was revoked.")
        async with client_of(other) as client:
            answer = await client.post("/graphql", json={"query": "{ hello }"})
            assert answer.status_code == 401


@pytest.mark.parametrize("name", [MEMBER, token_name(TENANT, "t-m-1")])
async def test_others_are_not_touched(name: str) -> None:
    async with (
        two_instances() as (one, other),
        other.member(member_token("m-2")) as talk,
        other.member(service_token()) as service,
        other.member(sign(tid="globex")) as foreign,
    ):
        await one.revocations.revoke(name)
        await asyncio.sleep(0.02)
        assert await talk.alive() and await service.alive() and await foreign.alive()


async def test_a_socket_opened_by_a_connect_token_ends_with_the_token_that_fetched_it(served: Harness) -> None:
    caller = await served.verifier.verify(member_token(), Door.HTTP)
    async with served.revoking() as revocations, served.member(served.connect_tokens.issue(caller).token) as talk:
        await revocations.revoke(token_name(TENANT, "t-m-1"))
        assert (await talk.closed())[0] == 4403


async def test_a_connect_token_fetched_later_with_an_older_token_is_revoked_too(served: Harness) -> None:
    caller = await served.verifier.verify(member_token(), Door.HTTP)
    await served.revocations.revoke(MEMBER)
    served.clock.advance(10)
    connecting = served.connect_tokens.issue(caller).token
    async with served.socket() as talk:
        await talk.send({"type": "connection_init", "payload": {"authToken": connecting}})
        assert (await talk.closed())[0] == 4403


async def test_a_token_issued_after_its_members_revocation_is_good(served: Harness) -> None:
    await served.revocations.revoke(MEMBER)
    served.clock.advance(2)
    async with served.member(sign(iat=int(NOW.timestamp()) + 1)) as talk:
        assert await talk.alive()


async def test_a_socket_lives_by_its_renewed_token_alone(served: Harness) -> None:
    async with served.revoking() as revocations, served.member() as talk:
        await talk.send({"type": "ping", "payload": {"authToken": sign(jti="second")}})
        assert "tokenExpiresAt" in (await talk.receive())["payload"]
        await revocations.revoke(token_name(TENANT, "t-m-1"))
        await asyncio.sleep(0.02)
        assert await talk.alive()
        await revocations.revoke(token_name(TENANT, "second"))
        assert (await talk.closed())[0] == 4403


async def test_what_cannot_be_kept_is_not_revoked(served: Harness) -> None:
    served.kept.away = True
    with pytest.raises(StateUnavailable):
        await served.revocations.revoke(MEMBER)
    async with served.member() as talk:
        assert await talk.alive()


def alone(path: Path, clock: ManualClock, capacity: int = 10) -> Revocations:
    connections = Connections(metrics=Metrics(), clock=clock)
    return Revocations(RevocationFile(path, clock), connections=connections, clock=clock, capacity=capacity)


async def test_the_file_remembers_over_a_restart_and_is_its_owners_alone(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "revocations.json"
    before = alone(path, clock)
    await before.revoke(MEMBER)
    assert path.stat().st_mode & 0o077 == 0 and b"m-1" not in path.read_bytes()
    after = alone(path, clock)
    await after.load()
    assert after.loaded and after.holds(member())


async def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "revocations.json"
    path.write_text('[{"name"')
    with pytest.raises(LogCorrupt):
        RevocationFile(path, ManualClock())


async def test_more_than_can_be_remembered_is_refused_and_forgets_nothing(tmp_path: Path) -> None:
    revocations = alone(tmp_path / "revocations.json", ManualClock(), capacity=1)
    await revocations.revoke(MEMBER)
    with pytest.raises(RevocationsFull):
        await revocations.revoke(EVERYBODY)
    await revocations.revoke(MEMBER)
    assert revocations.holds(member())


async def test_a_revocation_is_forgotten_when_no_such_token_can_be_alive(tmp_path: Path) -> None:
    clock = ManualClock()
    revocations = alone(tmp_path / "revocations.json", clock)
    await revocations.revoke(MEMBER)
    enforcing = asyncio.create_task(revocations.run())
    await eventually(lambda: clock.sleeping == 1)
    clock.jump_wall(timedelta(days=1))
    clock.advance(60)
    await eventually(lambda: len(revocations) == 0)
    enforcing.cancel()
    await asyncio.gather(enforcing, return_exceptions=True)
