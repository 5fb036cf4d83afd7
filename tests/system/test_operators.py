"""What operators see and end, by the command line, on a server alone and on one of several instances."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.system.issuer import Issuer
from tests.system.program import close_code, ended, greeted, received, serving, simulator, subscribe
from tests.system.test_hand_over import deployment, instance

EVENTS = "subscription { memberEvents { __typename } }"


async def test_connections_are_counted_and_a_revoked_member_stays_out_over_a_restart(tmp_path: Path) -> None:
    issuer = Issuer()
    bearer, operator = issuer.token("m-1"), issuer.token("op", role="operator")
    async with simulator() as payer_url:
        settings = {"payer_url": payer_url, "jwt_public_key": issuer.public_key, "drain_seconds": "0"}
        async with serving(tmp_path, **settings) as server:
            by = ("--url", server.url, "--token", operator)
            async with greeted(server.port, bearer) as socket_, greeted(server.port, issuer.token("m-2")) as other:
                await subscribe(socket_, EVENTS)
                await received(socket_)
                seen = await ended("connections", *by, "--json", env={})
                assert {**json.loads(seen.out), "instance": ""} == {
                    "instance": "",
                    "members": 2,
                    "services": 0,
                    "operators": 0,
                }
                revoked = await ended("revoke", *by, "--member", "m-1", env={})
                assert revoked.code == 0 and revoked.out.startswith("Revoked."), revoked
                assert await close_code(socket_) == 4403
                await subscribe(other, EVENTS)
                assert (await received(other))["type"] == "next"
            refused = await ended("revoke", "--url", server.url, "--token", bearer, "--member", "m-2", env={})
            assert refused.code == 1 and "refused the token" in refused.err
            refused = await ended("connections", "--url", server.url, "--token", issuer.token("m-2"), env={})
            assert refused.code == 1 and "FORBIDDEN" in refused.err
            assert await server.process.stop() == 0
        async with serving(tmp_path, **settings) as server:
            with pytest.raises(ConnectionClosed, match=r"4403.*revoked"):
                async with greeted(server.port, bearer):
                    pass


@pytest.mark.services
@pytest.mark.slow
async def test_a_revocation_given_to_one_instance_ends_sockets_of_the_other(
    tmp_path: Path, kafka_address: str, redis_url: str
) -> None:
    async with deployment(kafka_address, redis_url) as deployed:
        settings, issuer = deployed.settings, deployed.issuer
        async with instance(tmp_path / "one", settings) as one, instance(tmp_path / "two", settings) as two:
            by = ("--url", one.url, "--token", issuer.token("op", role="operator"))
            bearer = issuer.token("m-1", jti="stolen")
            async with greeted(one.port, bearer) as here, greeted(two.port, bearer) as there:
                async with asyncio.timeout(30):
                    while True:  # each instance tells its numbers within some seconds
                        lines = (await ended("connections", *by, "--json", env={})).out.splitlines()
                        if [json.loads(line)["members"] for line in lines] == [1, 1]:
                            break
                revoked = await ended("revoke", *by, "--token-id", "stolen", env={})
                assert revoked.code == 0, revoked
                assert [await close_code(here), await close_code(there)] == [4403, 4403]


async def test_whose_tokens_has_to_be_said_once() -> None:
    for arguments in ((), ("--member", "m-1", "--everybody")):
        wrong = await ended("revoke", *arguments, env={})
        assert wrong.code == 2 and "one of --member, --token-id, --everybody" in wrong.err
