"""Covey as a user runs it: the real command in a process of its own, spoken to over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from bus.clock import SystemClock
from bus.ids import MemberId, TenantId, random_id
from delivery.caller import Role
from delivery.development_key import DevelopmentKey, sign_development_token
from payer.simulator.app import simulator_app
from payer.simulator.running import running_simulator
from tests.services.process import free_ports

COVEY: Final = (sys.executable, "-m", "cli")
ROOT: Final = Path(__file__).parents[2]
TERMINAL: Final = frozenset({"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"})

SUBMIT: Final = """
mutation Submit($input: SubmitCoverageRequestInput!) {
  submitCoverageRequest(input: $input) {
    __typename
    ... on CoverageRequestAccepted { request { id status queuePosition cursor } }
    ... on CoverageAnswered { coverage { status requestId } }
    ... on InvalidInput { problems { path code message } }
    ... on Refused { reason message retryAfterSeconds }
  }
}
"""
FOLLOW: Final = """
subscription Follow($id: ID!, $after: Cursor) {
  coverageRequestEvents(requestId: $id, after: $after) {
    __typename
    ... on CoverageRequestEvent { cursor id type sequence attempt failure { kind code } }
    ... on Gap { cursor reason }
  }
}
"""
STATUS: Final = "query Status($id: ID!) { coverageRequest(id: $id) { status attempt failure { kind code } } }"


def free_port() -> int:
    """A port that was free a moment ago."""
    return free_ports(1)[0]


def question(member: str, payer: str, last_name: str = "Doe", **changes: Any) -> dict[str, Any]:
    """A `CoverageQuestion` that is valid."""
    return {
        "memberId": member,
        "payerId": payer,
        "subscriber": {
            "memberId": "AETNA12345",
            "firstName": "Jane",
            "lastName": last_name,
            "dateOfBirth": "2004-04-04",
        },
        **changes,
    }


class Process:
    """One covey process; ended by its own pid only."""

    def __init__(self, process: asyncio.subprocess.Process, stderr: Path) -> None:
        self.process = process
        self.stderr = stderr

    @classmethod
    async def start(cls, *arguments: str, env: Mapping[str, str], folder: Path) -> Process:
        stderr = folder / f"{arguments[0]}.stderr"
        with stderr.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *COVEY,
                *arguments,
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        return cls(process, stderr)

    async def kill(self) -> None:
        await self.stop(signal.SIGKILL)

    async def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(sig)
        return await self.process.wait()

    async def until_answering(self, url: str) -> None:
        """Wait for 200 at `url`; raises with what the process wrote if it ended instead."""
        async with httpx.AsyncClient() as http:
            while self.process.returncode is None:
                with suppress(httpx.HTTPError):
                    if (await http.get(url)).status_code == 200:
                        return
                await asyncio.sleep(0.02)
        raise RuntimeError(self.stderr.read_text()[-4000:])


class Ended(NamedTuple):
    """A command that ended by itself."""

    code: int
    out: str
    err: str


async def ended(*arguments: str, env: Mapping[str, str], under: Sequence[str] = (), seconds: float = 30) -> Ended:
    """Run a command to its end; `under` another program that starts it, if one is named."""
    process = await asyncio.create_subprocess_exec(
        *under,
        *COVEY,
        *arguments,
        cwd=ROOT,
        env={**os.environ, **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def running(*arguments: str, env: Mapping[str, str], folder: Path, answers_at: str) -> AsyncIterator[Process]:
    process = await Process.start(*arguments, env=env, folder=folder)
    try:
        await process.until_answering(answers_at)
        yield process
    finally:
        await process.kill()


class Server(NamedTuple):
    """A `covey serve` that answers."""

    process: Process
    port: int
    url: str
    data: Path

    def written(self) -> str:
        """What it wrote to stdout and stderr."""
        return self.process.stderr.read_text()


@asynccontextmanager
async def serving(
    folder: Path, port: int | None = None, workers: int = 1, /, *, payer_url: str, **settings: str
) -> AsyncIterator[Server]:
    """`covey serve` on the data folder in `folder`, with `settings` by their names without COVEY_."""
    port = port or free_port()
    url, data = f"http://127.0.0.1:{port}", folder / "data"
    env = {"COVEY_DATA": str(data), "COVEY_PAYER_URL": payer_url}
    arguments = ("serve", "--port", str(port), "--workers-in-process", str(workers))
    env |= {f"COVEY_{name.upper()}": value for name, value in settings.items()}
    async with running(*arguments, env=env, folder=folder, answers_at=f"{url}/readyz") as process:
        yield Server(process, port, url, data)


def simulator(speed: float = 50) -> AbstractAsyncContextManager[str]:
    """The payers' side, in this process; its URL."""
    return running_simulator(simulator_app(seed=7, slots=15, speed=speed, clock=SystemClock()))


def token(data: Path, member: str, tenant: str = "t-1", role: Role = Role.MEMBER) -> str:
    """A token of two hours, like those that `covey token` prints, without a process to wait for."""
    return sign_development_token(
        DevelopmentKey.in_folder(data),
        tenant_id=TenantId(tenant),
        roles=[role],
        member_id=MemberId(member),
        ttl_seconds=7200,
        now=SystemClock().now(),
        token_id=random_id(),
    )


@asynccontextmanager
async def greeted(port: int, bearer: str) -> AsyncIterator[ClientConnection]:
    """A socket whose `connection_init` was acknowledged."""
    url = f"ws://127.0.0.1:{port}/graphql"
    async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as socket_:
        await socket_.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {bearer}"}}))
        assert (await received(socket_))["type"] == "connection_ack"
        yield socket_


async def subscribe(socket_: ClientConnection, query: str, operation: str = "1", **variables: Any) -> None:
    """Start an operation; what it brings is the caller's to receive."""
    payload = {"query": query, "variables": variables}
    await socket_.send(json.dumps({"id": operation, "type": "subscribe", "payload": payload}))


async def received(socket_: ClientConnection) -> dict[str, Any]:
    """The next message."""
    message: dict[str, Any] = json.loads(await socket_.recv())
    return message


async def close_code(socket_: ClientConnection) -> int:
    """Read on to the end; the code that the server closed with."""
    async with asyncio.timeout(30):
        with suppress(ConnectionClosed):
            while True:
                await socket_.recv()
    assert socket_.close_code is not None
    return socket_.close_code


async def readiness(url: str, status: int) -> dict[str, Any]:
    """What `/readyz` says, once it answers with this status."""
    async with httpx.AsyncClient() as http, asyncio.timeout(20):
        while True:
            if (response := await http.get(f"{url}/readyz")).status_code == status:
                return dict(response.json())
            await asyncio.sleep(0.02)


class Client:
    """A caller that comes back after every cut, as official clients do."""

    def __init__(self, port: int, bearer: str) -> None:
        self._port = port
        self._bearer = bearer
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {bearer}"}, timeout=30
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def execute(self, query: str, **variables: Any) -> dict[str, Any]:
        response = await self._http.post("/graphql", json={"query": query, "variables": variables})
        body: dict[str, Any] = response.json()
        if response.status_code == 503:
            raise httpx.ConnectError("draining")
        assert "errors" not in body, body
        return dict(body["data"])

    async def submitted(self, asked: dict[str, Any], **options: Any) -> str:
        """The id of a request that is made, whatever the cache holds."""
        data = await self.execute(SUBMIT, input={"question": asked, "cacheMode": "REQUIRE_FRESH", **options})
        result = data["submitCoverageRequest"]
        assert result["__typename"] == "CoverageRequestAccepted", result
        request_id: str = result["request"]["id"]
        return request_id

    async def execute_surely(self, query: str, **variables: Any) -> dict[str, Any]:
        """As `execute`, again and again while the server is away."""
        while True:
            try:
                return await self.execute(query, **variables)
            except (httpx.TransportError, json.JSONDecodeError):
                await asyncio.sleep(0.05)

    async def follow(self, request_id: str, after: str | None = None) -> list[dict[str, Any]]:
        """Every item up to the terminal event, resumed by cursor after each cut."""
        items: list[dict[str, Any]] = []
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                async for item in self._items(request_id, after):
                    items.append(item)
                    after = item["cursor"]
                    if item.get("type") in TERMINAL:
                        return items
            await asyncio.sleep(0.05)

    async def _items(self, request_id: str, after: str | None) -> AsyncIterator[dict[str, Any]]:
        async with greeted(self._port, self._bearer) as socket_:
            await subscribe(socket_, FOLLOW, id=request_id, after=after)
            async for frame in socket_:
                message = json.loads(frame)
                if message["type"] == "complete":
                    return
                if message["type"] == "next":
                    assert "errors" not in message["payload"], message
                    yield message["payload"]["data"]["coverageRequestEvents"]
                elif message["type"] == "error":
                    raise AssertionError(message)
