"""What a token must say, who may sign it, and what it is good for."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.api_jws import PyJWS

from bus.ids import MemberId, TenantId
from delivery.caller import Caller, Role
from delivery.connect_tokens import CONNECT_KEY_ID, ConnectTokens
from delivery.errors import ConnectTokenRefused, KeyUnusable, TokenRefused
from delivery.keys import FixedKey, KeySource, public_key, verifying_key
from delivery.tokens import Door, TokenVerifier
from tests.delivery.harness import Harness
from tests.delivery.issued import KEY, TENANT, member_token, operator_token, sign
from tests.delivery.manual_clock import NOW, ManualClock

SECONDS = int(NOW.timestamp())
WEAK_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505 (weak on purpose)


def verifier(keys: KeySource = KEY.source, clock: ManualClock | None = None) -> TokenVerifier:
    clock = clock or ManualClock()
    return TokenVerifier(keys=keys, connect_tokens=connect_tokens(clock), clock=clock)


def connect_tokens(clock: ManualClock, shared_key: bytes = b"k" * 32, ttl_seconds: int = 300) -> ConnectTokens:
    return ConnectTokens(
        shared_key=shared_key, url="wss://covey/graphql", ttl_seconds=ttl_seconds, clock=clock, new_id=lambda: "j-1"
    )


async def refusal(token: str, door: Door = Door.HTTP, **how: Any) -> str:
    with pytest.raises(TokenRefused) as refused:
        await verifier(**how).verify(token, door)
    assert token not in str(refused.value) or not token
    return str(refused.value)


async def test_a_members_token_names_its_caller() -> None:
    caller = await verifier().verify(sign(jti="t-1", extra={"any": "thing"}), Door.HTTP)
    assert caller == Caller(
        subject="m-1",
        tenant_id=TENANT,
        roles=frozenset({Role.MEMBER}),
        member_id=MemberId("m-1"),
        expires_at=NOW + timedelta(hours=1),
        token_id="t-1",
        issued_at=NOW,
    )


async def test_services_and_operators_need_no_member_and_have_none() -> None:
    service = await verifier().verify(sign(sub="batch", roles=["service", "operator"], mid="ignored"), Door.SOCKET)
    assert (service.member_id, service.is_service, service.is_operator) == (None, True, True)


async def test_a_development_token_is_one() -> None:
    caller = await verifier().verify(member_token("m-9", ttl_seconds=60), Door.HTTP)
    assert (caller.subject, caller.member_id, caller.token_id) == ("m-9", "m-9", "t-m-9")
    assert caller.expires_at == NOW + timedelta(seconds=60)
    operator = await verifier().verify(operator_token(), Door.HTTP)
    assert (operator.subject, operator.member_id, operator.is_operator) == ("operator", None, True)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: None} for name in ("sub", "tid", "mid", "roles", "aud", "iat", "exp")),
        {"sub": 5},
        {"sub": ""},
        {"sub": "x" * 257},
        {"tid": ["acme"]},
        {"tid": ""},
        {"mid": 7},
        {"mid": ""},
        {"roles": []},
        {"roles": "member"},
        {"roles": ["member", "admin"]},
        {"roles": ["MEMBER"]},
        {"roles": [1]},
        {"roles": ["member"] * 9},
        {"aud": "else"},
        {"aud": []},
        {"aud": ["else"]},
        {"aud": {"covey": 1}},
        {"exp": True},
        {"exp": str(SECONDS + 60)},
        {"exp": SECONDS},
        {"exp": SECONDS - 1},
        {"exp": -1},
        {"exp": 1e300},
        {"exp": 10**400},
        {"iat": True},
        {"iat": "now"},
        {"iat": SECONDS + 61},
        {"nbf": SECONDS + 61},
        {"nbf": "later"},
        {"jti": 5},
        {"jti": ""},
        {"use": "refresh"},
        {"use": ""},
        {"use": 1},
        {"use": ["connect"]},
        {"use": "connect"},
        {"use": "connect", "sexp": SECONDS},
        {"use": "connect", "sexp": True},
    ],
)
async def test_claims_are_held_to_the_letter(changes: dict[str, object]) -> None:
    await refusal(sign(**changes), Door.SOCKET)


async def test_an_explicit_null_is_no_claim() -> None:
    claims = jwt.decode(sign(), options={"verify_signature": False})
    for name in ("mid", "use", "sexp", "nbf", "jti"):
        await refusal(KEY.sign(claims | {name: None}), Door.SOCKET)


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 3000])
async def test_a_signed_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    await refusal(PyJWS().encode(payload, KEY._private_key, algorithm="EdDSA"))


async def test_a_refusal_names_the_claim_and_not_its_value() -> None:
    assert "`roles`" in await refusal(sign(roles=["Smith"]))
    assert "Smith" not in await refusal(sign(roles=["Smith"]))
    assert "`tid`" in await refusal(sign(tid=None))


async def test_an_audience_list_that_names_covey_is_good_and_so_is_a_little_clock_skew() -> None:
    assert await verifier().verify(sign(aud=["else", "covey"], iat=SECONDS + 59, nbf=SECONDS + 59.5), Door.HTTP)


def unsigned(header: dict[str, object], payload: object = None) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()

    claims = payload or jwt.decode(sign(), options={"verify_signature": False})
    return f"{part(header)}.{part(claims)}."


@pytest.mark.parametrize(
    "token",
    [
        "",
        "zz",
        "a.b.c",
        "....",
        "x" * 8193,
        "\u0661",
        sign() + "x",
        sign()[:-6] + "AAAAAA",
        sign().replace(".", ".A", 1),
        unsigned({"alg": "none", "typ": "JWT"}),
        unsigned({"alg": "None"}),
        unsigned({"alg": "EdDSA"}),
        unsigned({"alg": "HS256", "kid": CONNECT_KEY_ID}),
        unsigned({"alg": 5}),
        unsigned({"alg": "EdDSA", "kid": 5}),
        unsigned({"alg": "EdDSA", "crit": ["b64"], "b64": False}),
        unsigned({"kid": "x"}),
        base64.urlsafe_b64encode(b"[" * 3000).decode() + ".e30.AA",
    ],
)
async def test_what_is_no_signed_token_is_refused(token: str) -> None:
    await refusal(token)


async def test_a_symmetric_signature_under_an_outside_key_is_refused() -> None:
    public = KEY._private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    claims = jwt.decode(sign(), options={"verify_signature": False})
    await refusal(jwt.encode(claims, public, algorithm="HS256"))


async def test_another_key_of_the_same_kind_is_refused() -> None:
    await refusal(sign(), keys=FixedKey(verifying_key(Ed25519PrivateKey.generate().public_key())))


@pytest.mark.parametrize(
    ("private", "algorithms"),
    [
        (Ed25519PrivateKey.generate(), ["EdDSA"]),
        (ec.generate_private_key(ec.SECP256R1()), ["ES256"]),
        (ec.generate_private_key(ec.SECP384R1()), ["ES384"]),
        (rsa.generate_private_key(65537, 2048), ["RS256", "PS512"]),
    ],
)
async def test_each_kind_of_public_key_checks_what_its_private_key_signed(private: Any, algorithms: list[str]) -> None:
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    claims = jwt.decode(sign(), options={"verify_signature": False})
    for algorithm in algorithms:
        token = jwt.encode(claims, private, algorithm=algorithm, headers={"kid": "any"})
        assert await verifier(keys=public_key(pem)).verify(token, Door.HTTP)
        await refusal(token)


def test_a_public_key_may_be_a_file(tmp_path: Any) -> None:
    pem = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path = tmp_path / "key.pem"
    path.write_bytes(pem)
    assert public_key(str(path))


@pytest.mark.parametrize(
    "given",
    [
        "/no/such/file",
        "\0",
        "-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n",
        *(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
            for key in (WEAK_RSA, ec.generate_private_key(ec.SECP256K1()))
        ),
    ],
)
def test_an_unusable_public_key_stops_the_start(given: str) -> None:
    with pytest.raises(KeyUnusable):
        public_key(given)


async def test_a_token_is_checked_once_and_then_remembered_until_it_ends_or_five_minutes() -> None:
    class Counted:
        asked = 0

        async def key(self, key_id: str | None) -> Any:
            self.asked += 1
            return await KEY.source.key(key_id)

    keys, clock = Counted(), ManualClock()
    checks = verifier(keys=keys, clock=clock)
    token = sign(exp=SECONDS + 400)
    for _ in range(3):
        await checks.verify(token, Door.HTTP)
        await checks.fetch_key(token)
    assert keys.asked == 1
    clock.advance(300)
    await checks.verify(token, Door.HTTP)
    assert keys.asked == 2
    clock.advance(100)
    with pytest.raises(TokenRefused):
        await checks.verify(token, Door.HTTP)


async def test_the_memory_of_checked_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.tokens._REMEMBERED", 3)
    checks = verifier()
    for number in range(5):
        await checks.verify(sign(jti=str(number)), Door.HTTP)
    assert len(checks._verified) == 3


def caller(**changes: Any) -> Caller:
    fields: dict[str, Any] = {
        "subject": "m-1",
        "tenant_id": TenantId("acme"),
        "roles": frozenset({Role.MEMBER, Role.OPERATOR}),
        "member_id": MemberId("m-1"),
        "expires_at": NOW + timedelta(hours=1),
    }
    return Caller(**(fields | changes))


async def test_a_connect_token_opens_sockets_only_as_its_member_alone_until_its_session_ends() -> None:
    issued = connect_tokens(ManualClock()).issue(caller())
    assert (issued.url, issued.expires_at) == ("wss://covey/graphql", NOW + timedelta(seconds=300))
    opened = await verifier().verify(issued.token, Door.SOCKET)
    assert opened == caller(roles=frozenset({Role.MEMBER}), connect_only=True, token_id="j-1", issued_at=NOW)
    assert "sockets only" in await refusal(issued.token, Door.HTTP)


async def test_a_connect_token_refused_over_http_stays_so_when_it_is_remembered() -> None:
    checks, issued = verifier(), connect_tokens(ManualClock()).issue(caller())
    await checks.verify(issued.token, Door.SOCKET)
    with pytest.raises(TokenRefused):
        await checks.verify(issued.token, Door.HTTP)


def test_a_connect_token_never_outlives_the_token_that_fetched_it() -> None:
    issued = connect_tokens(ManualClock()).issue(caller(expires_at=NOW + timedelta(seconds=30)))
    assert issued.expires_at == NOW + timedelta(seconds=30)


async def test_every_instance_with_the_shared_key_knows_it_and_no_other_does() -> None:
    await refusal(connect_tokens(ManualClock(), shared_key=b"other" * 8).issue(caller()).token, Door.SOCKET)


async def test_an_ended_connect_token_opens_nothing() -> None:
    clock = ManualClock()
    issued = connect_tokens(clock).issue(caller())
    clock.advance(300)
    await refusal(issued.token, Door.SOCKET, clock=clock)


async def test_the_connect_key_signs_connect_tokens_only() -> None:
    claims = jwt.decode(sign(), options={"verify_signature": False})
    key = connect_tokens(ManualClock()).key
    await refusal(jwt.encode(claims, key, algorithm="HS256", headers={"kid": CONNECT_KEY_ID}), Door.SOCKET)


@pytest.mark.parametrize("changes", [{"connect_only": True}, {"roles": frozenset({Role.SERVICE})}, {"member_id": None}])
def test_only_members_with_their_own_token_get_connect_tokens(changes: dict[str, Any]) -> None:
    with pytest.raises(ConnectTokenRefused) as refused:
        connect_tokens(ManualClock()).issue(caller(**changes))
    assert refused.value.code == "FORBIDDEN"


@given(st.lists(st.tuples(st.integers(0, 400), st.characters(max_codepoint=127)), min_size=1, max_size=4))
async def test_a_token_altered_anywhere_is_refused(edits: list[tuple[int, str]]) -> None:
    original = sign()
    letters = list(original)
    for place, letter in edits:
        letters[place % len(letters)] = letter
    altered = "".join(letters)
    if _means(altered) != _means(original):
        await refusal(altered)


def _means(token: str) -> object:
    """The bytes a token stands for: base64 leaves some bits of a last letter without meaning."""
    try:
        return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")]
    except ValueError:
        return token


async def test_the_harness_wires_what_the_tests_above_prove() -> None:
    assert (await Harness().verifier.verify(member_token(), Door.HTTP)).member_id == "m-1"
