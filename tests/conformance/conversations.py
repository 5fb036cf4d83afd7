"""graphql-transport-ws as conversations: every message and close code that a client alone can bring about.

A line is what goes over the wire: `>` the client says, `<` the server does. What the server says is held to the
letter, but for `"*"`, which stands for anything, and for the members of objects inside a payload that a row leaves out.
`> init` is a `connection_init` with a good token, `< ack` its answer, `< closed CODE` the end; `> {"id": "1", ...}`
with a `query` is short for a `subscribe`. What is not closed is pinged at its end: so nothing unheard is left.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tests.conformance.wire import Closed, Wire

ME: Final = '"query": "{ me { __typename } }"'
MINE: Final = '"query": "subscription { memberEvents { __typename } }"'
ASKED: Final = '{"data": {"me": {"__typename": "Me"}}}'
CHECKPOINT: Final = '{"data": {"memberEvents": {"__typename": "Checkpoint"}}}'
CANCEL: Final = 'mutation { cancelCoverageRequest(id: \\"none\\") { ... on Refused { reason } } }'
PAYER: Final = '"query": "query A($id: ID!) { payer(id: $id) { id } } query B { me { __typename } }"'


def error(operation_id: str, code: str) -> str:
    """The line that tells of it."""
    errors = f'[{{"message": "*", "extensions": {{"code": "{code}"}}}}]'
    return f'{{"id": "{operation_id}", "type": "error", "payload": {errors}}}'


OPENING: Final = {
    "init is acknowledged": ["> init", "< ack"],
    "init with the token by itself": ['> {"type": "connection_init", "payload": {"authToken": "TOKEN"}}', "< ack"],
    "init in other letters": ['> {"type": "connection_init", "payload": {"AUTHORIZATION": "bearer TOKEN"}}', "< ack"],
    "init with members nobody knows": [
        '> {"x": 1, "type": "connection_init", "payload": {"authToken": "TOKEN", "headers": {"a": 1}}}',
        "< ack",
    ],
    "init without a payload": ['> {"type": "connection_init"}', "< closed 4403"],
    "init with null for a payload": ['> {"type": "connection_init", "payload": null}', "< closed 4403"],
    "init without a token": ['> {"type": "connection_init", "payload": {}}', "< closed 4403"],
    "init with no token of ours": ['> {"type": "connection_init", "payload": {"authToken": "x"}}', "< closed 4403"],
    "init with two tokens": [
        '> {"type": "connection_init", "payload": {"authToken": "TOKEN", "authorization": "Bearer x"}}',
        "< closed 4403",
    ],
    "init with a payload of another type": ['> {"type": "connection_init", "payload": []}', "< closed 4400"],
    "init again": ["> init", "< ack", "> init", "< closed 4429"],
    "init twice at once": ["> init", "> init", "< ack", "< closed 4429"],
    "init never": ["< closed 4408"],
    "a ping in place of init": ['> {"type": "ping"}', '< {"type": "pong"}', "< closed 4408"],
    "subscribe before init": [f'> {{"id": "1", {ME}}}', "< closed 4401"],
    "subscribe before init, and then init": [f'> {{"id": "1", {ME}}}', "> init", "< closed 4401"],
    "subscribe right behind init": [
        "> init",
        f'> {{"id": "1", {ME}}}',
        "< ack",
        f'< {{"id": "1", "type": "next", "payload": {ASKED}}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "complete before init is nobody's": ['> {"type": "complete", "id": "1"}', "> init", "< ack"],
    "pong before init is nobody's": ['> {"type": "pong"}', "> init", "< ack"],
    "subscribe after a refused init": ['> {"type": "connection_init"}', f'> {{"id": "1", {ME}}}', "< closed 4403"],
}

TALKING: Final = {
    "ping": ['> {"type": "ping"}', '< {"type": "pong"}'],
    "ping with null": ['> {"type": "ping", "payload": null}', '< {"type": "pong"}'],
    "ping with a payload": ['> {"type": "ping", "payload": {"a": [1]}}', '< {"type": "pong", "payload": {"a": [1]}}'],
    "ping with members nobody knows": ['> {"type": "ping", "id": "1", "x": {}}', '< {"type": "pong"}'],
    "pong unasked": ['> {"type": "pong"}'],
    "pong unasked with a payload": ['> {"type": "pong", "payload": {"a": 1}}'],
    "query": [
        f'> {{"id": "1", {ME}}}',
        f'< {{"id": "1", "type": "next", "payload": {ASKED}}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "query with all members null": [
        f'> {{"id": "1", {ME}, "variables": null, "operationName": null, "extensions": null}}',
        f'< {{"id": "1", "type": "next", "payload": {ASKED}}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "query with extensions": [
        f'> {{"id": "1", {ME}, "extensions": {{"a": {{"b": [1]}}}}}}',
        f'< {{"id": "1", "type": "next", "payload": {ASKED}}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "query by name with variables": [
        f'> {{"id": "1", {PAYER}, "operationName": "A", "variables": {{"id": "SIMOK"}}}}',
        '< {"id": "1", "type": "next", "payload": {"data": {"payer": {"id": "SIMOK"}}}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "query with an error inside its data": [
        '> {"id": "1", "query": "{ scheduler { slots } }"}',
        '< {"id": "1", "type": "next", "payload": {"data": null, "errors": [{"path": ["scheduler"]}]}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "mutation": [
        f'> {{"id": "1", "query": "{CANCEL}"}}',
        '< {"id": "1", "type": "next", "payload": {"data": {"cancelCoverageRequest": {"reason": "NOT_FOUND"}}}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "subscription": [f'> {{"id": "1", {MINE}}}', f'< {{"id": "1", "type": "next", "payload": {CHECKPOINT}}}'],
    "ping during a subscription": [
        f'> {{"id": "1", {MINE}}}',
        f'< {{"id": "1", "type": "next", "payload": {CHECKPOINT}}}',
        '> {"type": "ping"}',
        '< {"type": "pong"}',
    ],
    "two subscriptions": [
        f'> {{"id": "1", {MINE}}}',
        f'< {{"id": "1", "type": "next", "payload": {CHECKPOINT}}}',
        f'> {{"id": "2", {MINE}}}',
        f'< {{"id": "2", "type": "next", "payload": {CHECKPOINT}}}',
    ],
    "an id of any characters": [
        f'> {{"id": "é\\u0000\\ud83d\\ude00 ", {ME}}}',
        f'< {{"id": "é\\u0000\\ud83d\\ude00 ", "type": "next", "payload": {ASKED}}}',
        '< {"id": "é\\u0000\\ud83d\\ude00 ", "type": "complete"}',
    ],
    "an id again, after it completed": [
        f'> {{"id": "1", {ME}}}',
        f'< {{"id": "1", "type": "next", "payload": {ASKED}}}',
        '< {"id": "1", "type": "complete"}',
        f'> {{"id": "1", {ME}}}',
        f'< {{"id": "1", "type": "next", "payload": {ASKED}}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "an id again, after the client's complete": [
        f'> {{"id": "1", {MINE}}}',
        f'< {{"id": "1", "type": "next", "payload": {CHECKPOINT}}}',
        '> {"type": "complete", "id": "1"}',
        f'> {{"id": "1", {ME}}}',
        f'< {{"id": "1", "type": "next", "payload": {ASKED}}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "an id again, after its error": [
        '> {"id": "1", "query": "{"}',
        f"< {error('1', 'BAD_USER_INPUT')}",
        f'> {{"id": "1", {ME}}}',
        f'< {{"id": "1", "type": "next", "payload": {ASKED}}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "an id that runs": [
        f'> {{"id": "1", {MINE}}}',
        f'< {{"id": "1", "type": "next", "payload": {CHECKPOINT}}}',
        f'> {{"id": "1", {ME}}}',
        "< closed 4409 Subscriber for 1 already exists",
    ],
    "complete of an id that never ran": ['> {"type": "complete", "id": "none"}'],
    "complete twice": [
        f'> {{"id": "1", {MINE}}}',
        f'< {{"id": "1", "type": "next", "payload": {CHECKPOINT}}}',
        '> {"type": "complete", "id": "1"}',
        '> {"type": "complete", "id": "1"}',
    ],
    "complete after the server's": [
        f'> {{"id": "1", {ME}}}',
        f'< {{"id": "1", "type": "next", "payload": {ASKED}}}',
        '< {"id": "1", "type": "complete"}',
        '> {"type": "complete", "id": "1"}',
    ],
    "no document": ['> {"id": "1", "query": ""}', f"< {error('1', 'BAD_USER_INPUT')}"],
    "a document that is none": ['> {"id": "1", "query": "{ me { "}', f"< {error('1', 'BAD_USER_INPUT')}"],
    "a document that is not valid": ['> {"id": "1", "query": "{ none }"}', f"< {error('1', 'BAD_USER_INPUT')}"],
    "variables that do not fit": [
        f'> {{"id": "1", {PAYER}, "operationName": "A", "variables": {{"id": []}}}}',
        f"< {error('1', 'BAD_USER_INPUT')}",
    ],
    "variables that are missing": [
        f'> {{"id": "1", {PAYER}, "operationName": "A"}}',
        f"< {error('1', 'BAD_USER_INPUT')}",
    ],
    "an operation nobody named": [f'> {{"id": "1", {PAYER}}}', f"< {error('1', 'BAD_USER_INPUT')}"],
    "a name of no operation": [f'> {{"id": "1", {PAYER}, "operationName": "C"}}', f"< {error('1', 'BAD_USER_INPUT')}"],
    "a document that costs too much": [
        f'> {{"id": "1", "query": "{{ {"me { id } " * 480}}}"}}',
        f"< {error('1', 'QUERY_TOO_COMPLEX')}",
    ],
    "a stream of nobody's request": [
        '> {"id": "1", "query": "subscription { coverageRequestEvents(requestId: 1) { __typename } }"}',
        '< {"id": "1", "type": "next", "payload": {"data": null, "errors": [{"extensions": {"code": "NOT_FOUND"}}]}}',
        '< {"id": "1", "type": "complete"}',
    ],
    "an error leaves the others be": [
        f'> {{"id": "1", {MINE}}}',
        f'< {{"id": "1", "type": "next", "payload": {CHECKPOINT}}}',
        '> {"id": "2", "query": "{"}',
        f"< {error('2', 'BAD_USER_INPUT')}",
        f'> {{"id": "1", {ME}}}',
        "< closed 4409",
    ],
    "more operations than a socket may run": [
        *(
            line
            for number in range(4)
            for line in (
                f'> {{"id": "{number}", {MINE}}}',
                f'< {{"id": "{number}", "type": "next", "payload": {CHECKPOINT}}}',
            )
        ),
        f'> {{"id": "4", {ME}}}',
        f"< {error('4', 'RATE_LIMITED')}",
        '> {"type": "complete", "id": "0"}',
        f'> {{"id": "4", {ME}}}',
        f'< {{"id": "4", "type": "next", "payload": {ASKED}}}',
        '< {"id": "4", "type": "complete"}',
    ],
}

MALFORMED: Final = {
    "nothing": "",
    "no JSON": "ping",
    "a number that JSON lacks": '{"type": "ping", "payload": {"a": NaN}}',
    "a number too large, and then no end": (
        f'{{"type": "subscribe", "id": "1", "payload": {{{ME}, "variables": {{"n": 1e999}}}}'
    ),
    "a number too large, and then no bottom": (
        f'{{"type": "subscribe", "id": "1", "payload": {{{ME}, "variables": {{"n": 1e999}}}}, "x": {"[" * 3000}'
    ),
    "two messages in one": '{"type": "ping"}{"type": "ping"}',
    "null": "null",
    "a number": "0",
    "text": '"ping"',
    "a list": '[{"type": "ping"}]',
    "an object without a type": "{}",
    "a type that is no text": '{"type": 1}',
    "a type that is null": '{"type": null}',
    "an unknown type": '{"type": "Smith"}',
    "a type in other letters": '{"type": "PING"}',
    "the server's ack": '{"type": "connection_ack"}',
    "the server's next": '{"type": "next", "id": "1", "payload": {"data": {}}}',
    "the server's error": '{"type": "error", "id": "1", "payload": []}',
    "the old protocol's start": '{"type": "start", "id": "1", "payload": {"query": "{ me { id } }"}}',
    "the old protocol's stop": '{"type": "stop", "id": "1"}',
    "the old protocol's end": '{"type": "connection_terminate"}',
    "ping with text": '{"type": "ping", "payload": "a"}',
    "pong with a list": '{"type": "pong", "payload": []}',
    "subscribe without an id": f'{{"type": "subscribe", "payload": {{{ME}}}}}',
    "subscribe with a number for an id": f'{{"type": "subscribe", "id": 1, "payload": {{{ME}}}}}',
    "subscribe with null for an id": f'{{"type": "subscribe", "id": null, "payload": {{{ME}}}}}',
    "subscribe with an empty id": f'{{"type": "subscribe", "id": "", "payload": {{{ME}}}}}',
    "subscribe with an id of 129 characters": f'{{"type": "subscribe", "id": "{"i" * 129}", "payload": {{{ME}}}}}',
    "subscribe without a payload": '{"type": "subscribe", "id": "1"}',
    "subscribe with null for a payload": '{"type": "subscribe", "id": "1", "payload": null}',
    "subscribe with text for a payload": '{"type": "subscribe", "id": "1", "payload": "{ me { id } }"}',
    "subscribe without a query": '{"type": "subscribe", "id": "1", "payload": {"variables": {}}}',
    "subscribe with null for a query": '{"type": "subscribe", "id": "1", "payload": {"query": null}}',
    "subscribe with a list of variables": f'{{"type": "subscribe", "id": "1", "payload": {{{ME}, "variables": []}}}}',
    "subscribe with a number for a name": (
        f'{{"type": "subscribe", "id": "1", "payload": {{{ME}, "operationName": 1}}}}'
    ),
    "subscribe with a list of extensions": f'{{"type": "subscribe", "id": "1", "payload": {{{ME}, "extensions": []}}}}',
    "complete without an id": '{"type": "complete"}',
    "complete with a number for an id": '{"type": "complete", "id": 1}',
    "complete with an empty id": '{"type": "complete", "id": ""}',
    "a binary frame": b'{"type": "ping"}',
}


def spoken(line: str, token: str) -> str | dict[str, Any]:
    """What a line has the client say."""
    if line == "init":
        return {"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}
    message: dict[str, Any] = json.loads(line)
    if "query" not in message:
        return line.replace("TOKEN", token)
    return {"type": "subscribe", "id": message.pop("id"), "payload": message}


def fits(wanted: Any, heard: Any) -> bool:
    """Whether it was heard, as far as the row tells."""
    if isinstance(wanted, dict) and isinstance(heard, dict):
        return all(key in heard and fits(value, heard[key]) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(heard, list):
        return len(wanted) == len(heard) and all(map(fits, wanted, heard))
    return bool(wanted in ("*", heard))


async def hold(talk: Wire, lines: list[str], token: str) -> None:
    """Say and hear what the lines tell; what is left open is alive, and has said nothing else."""
    for line in lines:
        side, _, rest = line.partition(" ")
        if side == ">":
            await talk.say(spoken(rest, token))
            continue
        heard = await talk.hear()
        if rest.startswith("closed"):
            _, code, *reason = rest.split(" ", 2)
            assert isinstance(heard, Closed), heard
            assert heard.code == int(code) and (heard.reason == reason[0] if reason else heard.reason)
            return
        wanted = {"type": "connection_ack"} if rest == "ack" else json.loads(rest)
        assert isinstance(heard, dict), heard
        assert heard.keys() == wanted.keys() and fits(wanted, heard), heard
    await talk.say({"type": "ping", "payload": {"last": True}})
    assert await talk.hear() == {"type": "pong", "payload": {"last": True}}
