"""Health data is in the answers to whoever may see them, and nowhere else; with a key, not on the disk either."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from bus.clock import SystemClock
from payer.simulator.app import simulator_app
from payer.simulator.running import running_simulator
from tests.system.issuer import Issuer
from tests.system.program import (
    FOLLOW,
    SUBMIT,
    Client,
    Server,
    close_code,
    ended,
    greeted,
    received,
    serving,
    subscribe,
)

MEMBER: Final = "mbr-4471-unmistakable"
PERSON: Final = {
    "memberId": "CARD90817263",
    "firstName": "Wilhelmina",
    "lastName": "Quackenbush",
    "dateOfBirth": "1963-11-27",
}
CHILD: Final = {"firstName": "Thaddeus", "lastName": "Featherstone", "dateOfBirth": "2011-08-19"}
OF_PEOPLE: Final = tuple({*PERSON.values(), *CHILD.values(), "19631127", "20110819", "11/27/1963"})
"""In the shapes in which the payer's side and others write them too."""
COVERAGE: Final = "query C($id: ID!) { coverageRequest(id: $id) { status coverage { status planName } } }"
DOCUMENTS: Final = (
    'mutation { submitCoverageRequest(input: {memberId: "mbr-4471-unmistakable", card: CARD90817263, 7 "19631127',
    '{ coverageRequest(id: "CARD90817263", dateOfBirth: "1963-11-27") { status } }',
    '{ coverageRequest(id: "Wilhelmina Quackenbush") { status } }',
)
"""That cannot be read, are not allowed, and find nothing."""
FAILING: Final = {"SIMREJECT": 60, "SIM500": 60, "SIMGARBAGE": 60, "SIMHANG": 2, "SIMDOWN": 2}
"""Payers, and the deadline of what they are asked, in seconds."""
KEY: Final = "a data key of this test, that is long enough"


class SeenUrls:
    """Stands before the payers' side and notes what it is asked by."""

    def __init__(self, app: ASGIApp, urls: list[str]) -> None:
        self._app = app
        self._urls = urls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._urls.append(f"{scope['raw_path'].decode()}?{scope['query_string'].decode()}")
        await self._app(scope, receive, send)


def asked(payer: str, **changes: Any) -> dict[str, Any]:
    return {"memberId": MEMBER, "payerId": payer, "subscriber": PERSON, **changes}


def found(texts: Iterable[str | bytes], words: Iterable[str] = (MEMBER, *OF_PEOPLE)) -> set[str]:
    """Which of the words are in any of the texts, in any case of letters."""
    whole = b"\n".join(text.encode() if isinstance(text, str) else text for text in texts).lower()
    return {word for word in words if word.lower().encode() in whole}


async def metrics(server: Server) -> tuple[str, dict[tuple[str, ...], float]]:
    """The text, and each sample's value by its name and the values of its labels."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"{server.url}/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return text, {(sample.name, *sample.labels.values()): sample.value for sample in samples}


async def provoke(server: Server, bearer: str) -> list[str]:
    """Ask wrongly in every way that a refusal might repeat; what was answered."""
    answers = []
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {bearer}"}) as http:
        for wrong in (
            {**PERSON, "dateOfBirth": "27.11.1963 Quackenbush"},
            {**PERSON, "firstName": "Wilhelmina\x07"},
            {**PERSON, "memberId": ["CARD90817263"]},
            {**PERSON, "surname": "CARD90817263"},
            "Wilhelmina Quackenbush",
        ):
            body = {"query": SUBMIT, "variables": {"input": {"question": asked("SIMOK", subscriber=wrong)}}}
            answers.append((await http.post(f"{server.url}/graphql", json=body)).text)
        bodies = [json.dumps(PERSON)[:-3], *(json.dumps({"query": query}) for query in DOCUMENTS)]
        for content in bodies:
            headers = {"Content-Type": "application/json"}
            answers.append((await http.post(f"{server.url}/graphql", content=content, headers=headers)).text)
        answers.append((await http.get(f"{server.url}/graphql", params={"query": json.dumps(PERSON)})).text)
    for message in ('{"type": "Quackenbush", "payload": "CARD90817263"}', "Wilhelmina Quackenbush", b"CARD90817263"):
        url = f"ws://127.0.0.1:{server.port}/graphql"
        async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as socket_:
            await socket_.send(message)
            assert await close_code(socket_) == 4400
            answers.append(socket_.close_reason or "")
    return answers


def on_disk(server: Server) -> list[bytes]:
    """All files of the data folder."""
    return [path.read_bytes() for path in server.data.rglob("*") if path.is_file()]


async def refused_without_the_key(server: Server, payer_url: str) -> None:
    """Without the key, or with another, nothing starts, and the log stays as it is."""
    log = (server.data / "covey.db").read_bytes()
    environment = {"COVEY_DATA": str(server.data), "COVEY_PAYER_URL": payer_url}
    for key, words in (
        (None, "The data is encrypted: set the data key that it was written with (COVEY_DATA_KEY)."),
        ("another data key, as long as it has to be", "it was written with another data key, or altered."),
    ):
        given = environment if key is None else {**environment, "COVEY_DATA_KEY": key}
        refused = await ended("serve", "--port", "0", env=given)
        assert refused.code == 1 and refused.err.count("\n") == 1, refused
        assert str(server.data / "covey.db") in refused.err and words in refused.err
    assert (server.data / "covey.db").read_bytes() == log


async def test_what_was_asked_and_answered_is_nowhere_but_in_the_answers(tmp_path: Path) -> None:
    issuer, urls = Issuer(), list[str]()
    settings = {
        "jwt_public_key": issuer.public_key,
        "data_key": KEY,
        "log_level": "debug",
        "drain_seconds": "0",
        "lease_seconds": "4",
        "call_timeout_seconds": "3",
    }
    simulator = simulator_app(seed=7, slots=15, speed=50, clock=SystemClock())
    simulator.add_middleware(SeenUrls, urls=urls)
    bearer = issuer.token(MEMBER)
    async with running_simulator(simulator) as payer_url:
        async with serving(tmp_path, payer_url=payer_url, **settings) as server:
            client = Client(server.port, bearer)
            good = await client.submitted(asked("SIMOK"))
            made = [good, await client.submitted(asked("SIMOK", dependent={**CHILD, "relationship": "CHILD"}))]
            made += [
                await client.submitted(asked(payer), deadlineSeconds=deadline) for payer, deadline in FAILING.items()
            ]
            async with greeted(server.port, bearer) as socket_:
                items = list[dict[str, Any]]()
                for request_id in made:
                    await subscribe(socket_, FOLLOW, request_id, id=request_id)
                    while (message := await received(socket_))["type"] == "next":
                        items.append(message["payload"]["data"]["coverageRequestEvents"])
                text, measured = await metrics(server)
            assert found(await provoke(server, bearer)) == set()
            answered = (await client.execute(COVERAGE, id=good))["coverageRequest"]
            plan = answered["coverage"]["planName"]
            assert {item["type"] for item in items} >= {"COMPLETED", "FAILED", "TIMEOUT"}
            assert found([text, *urls]) == set() and len(urls) >= len(made)
            cursors = [item["cursor"] for item in items]
            assert found([*cursors, *(urlsafe_b64decode(cursor + "==") for cursor in cursors)]) == set()

            assert measured["covey_submits_total", "accepted"] == len(made)
            assert measured["covey_outcomes_total", "rte.completed"] == 2
            assert sum(value for (name, *_), value in measured.items() if name == "covey_outcomes_total") == len(made)
            assert measured["covey_deliveries_total", "socket"] == len(items)
            assert measured["covey_connections", "socket"] == 1
            async with asyncio.timeout(20):
                while measured["covey_reader_lag_events", "rte.events"] != 0:
                    _, measured = await metrics(server)
            await client.close()
            files_open = on_disk(server)
            assert await server.process.stop() == 0
        assert found(files_open + on_disk(server), [*OF_PEOPLE, plan]) == set()
        assert found([server.written()]) == set()
        await refused_without_the_key(server, payer_url)
        async with serving(tmp_path, payer_url=payer_url, **settings) as server:
            client = Client(server.port, bearer)
            assert (await client.execute(COVERAGE, id=good))["coverageRequest"] == answered
            cached = (await client.execute(SUBMIT, input={"question": asked("SIMOK")}))["submitCoverageRequest"]
            assert cached["__typename"] == "CoverageAnswered"
            await client.close()
