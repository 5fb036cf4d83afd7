"""A thousand mutated bodies and a thousand mutated messages: refused, never a fault of ours."""

from __future__ import annotations

import random

import msgspec
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed

from tests.delivery.harness import Harness, Talk, door_tasks, eventually, http_client
from tests.delivery.issued import member_token

CASES = 1000
BODIES = [
    b'{"query": "{ hello }"}',
    b'{"query": "query ($n: Int!) { echo(number: $n) }", "variables": {"n": 1}, "operationName": null}',
    b'{"query": "mutation { bump(by: 2) }", "extensions": {"a": [1, 2.5e3, true, "\\u00e9"]}}',
]
MESSAGES = [
    b'{"type": "ping", "payload": {"a": 1}}',
    b'{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "variables": {"n": 1}}}',
    b'{"type": "subscribe", "id": "2", "payload": {"query": "subscription { count(to: 2) }"}}',
    b'{"type": "complete", "id": "1"}',
    b'{"type": "connection_init", "payload": {"authToken": "x"}}',
]
SNIPPETS = [
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b"NaN",
    b'"',
    b"\\",
    b"\x00",
    b"\xff",
    b"}",
    b"[" * 2000,
    b"9" * 400,
]


def mutate(seed: random.Random, original: bytes) -> bytes:
    """A few cuts, flips, repeats and foreign pieces."""
    data = bytearray(original)
    for _ in range(seed.randint(1, 4)):
        at = seed.randrange(len(data) + 1)
        match seed.randrange(5):
            case 0:
                del data[at : at + seed.randint(1, 8)]
            case 1:
                data[at:at] = seed.choice(SNIPPETS)
            case 2:
                data[at : at + 1] = bytes([seed.randrange(256)])
            case 3:
                data[at:at] = data[: seed.randrange(len(data) + 1)]
            case _:
                data[at : at + seed.randint(1, 6)] = seed.choice(SNIPPETS)
    return bytes(data)


async def test_no_mutated_body_is_ever_a_500(served: Harness) -> None:
    seed = random.Random(20261123)
    headers = {"authorization": f"Bearer {member_token()}", "content-type": "application/json"}
    statuses = set()
    with capture_logs() as logs:
        async with http_client(headers=headers) as client:
            for _ in range(CASES):
                answer = await client.post(served.url, content=mutate(seed, seed.choice(BODIES)))
                statuses.add(answer.status_code)
                for error in answer.json().get("errors", []):
                    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert statuses == {200, 400}
    assert {entry["event"] for entry in logs} == {"request_refused"}


async def test_no_mutated_message_ever_crashes_the_handler(served: Harness) -> None:
    seed = random.Random(20261124)
    codes: set[int] = set()
    sent = 0
    while sent < CASES:
        async with served.member() as talk:
            try:
                while sent < CASES:
                    sent += 1
                    await _send_mutated(seed, talk)
                    await _until_pong(talk)
            except ConnectionClosed as end:
                codes.add(end.rcvd.code if end.rcvd else 1006)
    assert {4400, 4429} <= codes <= {4400, 4409, 4429, 1007}  # 1007: text that is not UTF-8
    await eventually(lambda: len(served.connections) == 0 and not door_tasks())
    assert served.metrics.registry.get_sample_value("covey_internal_errors_total", {"where": "socket"}) is None


async def _send_mutated(seed: random.Random, talk: Talk) -> None:
    data = mutate(seed, seed.choice(MESSAGES))
    try:
        await talk.connection.send(data.decode())
    except UnicodeDecodeError:
        await talk.connection.send(data, text=True)


async def _until_pong(talk: Talk) -> None:
    await talk.send({"type": "ping", "payload": {"until": "pong"}})
    while msgspec.json.decode(await talk.connection.recv()) != {"type": "pong", "payload": {"until": "pong"}}:
        pass
