"""Keys from an issuer's JWKS document: kept, renewed, and never asked for in a storm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from delivery.errors import KeysUnavailable, TokenRefused
from delivery.jwks import JwksKeys
from tests.delivery.harness import Harness, http_client
from tests.delivery.issued import member_token
from tests.delivery.manual_clock import ManualClock

PRIVATE = Ed25519PrivateKey.generate()
WEAK_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505 (weak on purpose)


def entry(key_id: str | None, **changes: object) -> dict[str, object]:
    jwk: dict[str, object] = OKPAlgorithm.to_jwk(PRIVATE.public_key(), as_dict=True)
    return {**jwk, **({} if key_id is None else {"kid": key_id}), **changes}


class Issuer:
    """A JWKS document behind a transport, and how often it was asked for."""

    def __init__(self, *keys: dict[str, object]) -> None:
        self.asked = 0
        self.answer: Callable[[], httpx.Response] = lambda: httpx.Response(200, json={"keys": list(keys)})
        self.clock = ManualClock()
        self.keys = JwksKeys(
            url="https://issuer.example/jwks",
            client=http_client(transport=httpx.MockTransport(self._handle)),
            clock=self.clock,
        )

    def publish(self, *keys: dict[str, object]) -> None:
        self.answer = lambda: httpx.Response(200, json={"keys": list(keys)})

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        await asyncio.sleep(0)
        return self.answer()


async def test_many_at_once_share_one_fetch() -> None:
    issuer = Issuer(entry("a"))
    keys = await asyncio.gather(*(issuer.keys.key("a") for _ in range(50)))
    assert keys[0].algorithms == {"EdDSA"}
    assert issuer.asked == 1


async def test_a_rotated_key_is_found_and_a_storm_of_made_up_ones_costs_one_fetch_a_pause() -> None:
    issuer = Issuer(entry("a"))
    await issuer.keys.key("a")
    issuer.publish(entry("b"))
    issuer.clock.advance(15)
    assert await issuer.keys.key("b")
    assert issuer.asked == 2
    for number in range(100):
        with pytest.raises(TokenRefused):
            await issuer.keys.key(f"made-up-{number}")
    assert issuer.asked == 2


async def test_keys_are_renewed_when_they_are_old_so_that_a_withdrawn_one_goes() -> None:
    issuer = Issuer(entry("a"), entry("b"))
    await issuer.keys.key("a")
    issuer.publish(entry("b"))
    issuer.clock.advance(301)
    with pytest.raises(TokenRefused):
        await issuer.keys.key("a")


def broken(how: str) -> Callable[[], httpx.Response]:
    def answer() -> httpx.Response:
        if how == "unreachable":
            raise httpx.ConnectError("no route")
        if how == "slow":
            raise TimeoutError
        contents = {"empty": b"", "list": b"[]", "keys": b'{"keys": 5}', "huge": b" " * 300_000, "text": b"\xff"}
        status = int(how) if how.isdigit() else 200
        return httpx.Response(status, content=contents.get(how, b"{}"))

    return answer


@pytest.mark.parametrize("how", ["unreachable", "slow", "500", "302", "empty", "list", "keys", "huge", "text"])
async def test_while_the_issuer_is_away_held_keys_go_on_for_a_day(how: str) -> None:
    issuer = Issuer(entry("a"))
    await issuer.keys.key("a")
    issuer.answer = broken(how)
    issuer.clock.advance(80_000)
    assert await issuer.keys.key("a")
    issuer.clock.advance(10_000)
    with pytest.raises(KeysUnavailable):
        await issuer.keys.key("a")


async def test_an_issuer_never_reached_is_unavailable_and_asked_again_after_a_pause() -> None:
    issuer = Issuer(entry("a"))
    good, issuer.answer = issuer.answer, broken("unreachable")
    for _ in range(5):
        with pytest.raises(KeysUnavailable):
            await issuer.keys.key("a")
    assert issuer.asked == 1
    issuer.answer = good
    issuer.clock.advance(15)
    assert await issuer.keys.key("a")


async def test_only_public_signature_keys_are_taken() -> None:
    weak: dict[str, object] = RSAAlgorithm.to_jwk(WEAK_RSA.public_key(), as_dict=True)
    good: dict[str, object] = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True)
    curve: dict[str, object] = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    secret: dict[str, object] = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}
    private: dict[str, object] = OKPAlgorithm.to_jwk(PRIVATE, as_dict=True)
    issuer = Issuer(
        {**weak, "kid": "weak"},
        {**good, "kid": "rsa", "use": "sig"},
        {**curve, "kid": "ec"},
        secret,
        {**private, "kid": "private"},
        entry("encryption", use="enc"),
        entry(None, kid=5),
        {"kty": "OKP", "crv": "Ed25519", "kid": "broken", "x": "!"},
        {"kid": "nothing"},
    )
    assert (await issuer.keys.key("rsa")).algorithms >= {"RS256", "PS256"}
    assert (await issuer.keys.key("ec")).algorithms == {"ES256"}
    for key_id in ("weak", "secret", "private", "encryption", "broken", "nothing", None):
        with pytest.raises(TokenRefused):
            await issuer.keys.key(key_id)


async def test_a_token_without_a_kid_is_checked_with_the_only_key_there_is() -> None:
    assert await Issuer(entry("a")).keys.key(None)
    assert await Issuer(entry(None)).keys.key(None)
    with pytest.raises(TokenRefused):
        await Issuer(entry("a"), entry("b")).keys.key(None)


async def test_the_doors_say_that_keys_are_away_in_a_way_that_clients_come_back_from() -> None:
    issuer = Issuer()
    issuer.answer = broken("unreachable")
    harness = Harness()
    harness.verifier._keys = issuer.keys
    async with harness.serving(), httpx.AsyncClient() as client:
        token = member_token()
        answer = await client.post(harness.url, json={"query": "{hello}"}, headers={"authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        async with harness.socket() as talk:
            await talk.init(token)
            assert (await talk.closed())[0] == 1013
            assert harness.connections.admitted() == []


def test_the_sample_entry_is_a_jwk() -> None:
    key: Any = jwt.PyJWK.from_dict(entry("a"))
    assert key.algorithm_name == "EdDSA"
