"""Both doors on a real server, with a small schema and a clock that tests move."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bus.errors import StateUnavailable
from bus.metrics import Metrics
from delivery.caller import Caller
from delivery.connect_tokens import ConnectTokens
from delivery.connections import Connections
from delivery.drain import Drain
from delivery.http import HttpDoor
from delivery.lifetime import LifetimeLimits
from delivery.payloads import Payloads
from delivery.rates import Rates
from delivery.readers import answer_guard
from delivery.resumable import Subscriptions
from delivery.revocation import Learner, Revocations, Revoked
from delivery.senders import SenderLimits
from delivery.server import server_config
from delivery.site import site
from delivery.socket import SocketDoor
from delivery.sockets import Sockets
from delivery.stall import StallLimits
from delivery.storm import Gate
from delivery.streams import Streams
from delivery.timers import Timers
from delivery.tokens import TokenVerifier
from delivery.websocket import socket_terms
from tests.delivery.issued import KEY, member_token
from tests.delivery.manual_clock import ManualClock
from tests.delivery.sample_schema import SCHEMA


class KeptRevocations:
    """A RevocationStore that several harnesses may share, as instances do; and that may be away."""

    def __init__(self) -> None:
        self.kept: list[Revoked] = []
        self.learners: list[Learner] = []
        self.away = False

    async def load(self) -> Sequence[Revoked]:
        return self.kept

    async def keep(self, revoked: Revoked) -> None:
        if self.away:
            raise StateUnavailable("away")
        self.kept.append(revoked)
        for learner in self.learners:
            learner.learn([revoked])

    async def follow(self, learner: Learner) -> None:
        self.learners.append(learner)
        learner.learn_all(self.kept)
        await asyncio.Event().wait()


@dataclass(kw_only=True)
class Harness:
    """What a test may set before it serves, and look at while it does."""

    clock: ManualClock = field(default_factory=ManualClock)
    metrics: Metrics = field(default_factory=Metrics)
    max_connections: int = 1000
    per_member: int = 50
    per_service: int = 60
    per_address: int = 1000
    lifetime: LifetimeLimits = field(default_factory=LifetimeLimits)
    handshakes: Gate = field(default_factory=Gate)
    come_back_seconds: float = 5.0
    trusted_proxies: Sequence[str] = ()
    kept: KeptRevocations = field(default_factory=KeptRevocations)
    max_subscriptions: int = 5
    operations_per_second: float = 1000.0
    burst: float = 10_000.0
    drain_seconds: float = 10.0
    connect_seconds: int = 300
    senders: SenderLimits = field(default_factory=SenderLimits)
    body_seconds: float = 20.0
    stall: StallLimits = field(default_factory=StallLimits)
    page: ASGIApp | None = None
    schema: strawberry.Schema = SCHEMA
    context_factory: Callable[[Caller], object] = field(default=lambda caller: caller)
    ping_seconds: float = 20.0
    port: int = 0

    def __post_init__(self) -> None:
        ids = itertools.count(1)
        new_id = lambda: f"id-{next(ids)}"  # noqa: E731 (a port of one method)
        self.payloads = Payloads(metrics=self.metrics, new_id=new_id)
        self.connect_tokens = ConnectTokens(
            shared_key=b"k" * 32,
            url="ws://covey/graphql",
            ttl_seconds=self.connect_seconds,
            clock=self.clock,
            new_id=new_id,
        )
        self.rates = Rates(clock=self.clock, operations_per_second=self.operations_per_second, burst=self.burst)
        self.connections = Connections(
            metrics=self.metrics,
            max_connections=self.max_connections,
            per_member=self.per_member,
            per_service=self.per_service,
            per_address=self.per_address,
            clock=self.clock,
        )
        self.revocations = Revocations(self.kept, connections=self.connections, clock=self.clock)
        self.verifier = TokenVerifier(
            keys=KEY.source,
            connect_tokens=self.connect_tokens,
            clock=self.clock,
            revoked=self.revocations.holds,
        )
        self.drain = Drain(
            connections=self.connections, clock=self.clock, random=Random(7), window_seconds=self.drain_seconds
        )

    def app(self) -> Starlette:
        streams = Streams(
            schema=self.schema,
            connections=self.connections,
            drain=self.drain,
            context_factory=self.context_factory,
            payloads=self.payloads,
            metrics=self.metrics,
            clock=self.clock,
            check=self.verifier.check,
        )
        http = HttpDoor(
            schema=self.schema,
            verifier=self.verifier,
            rates=self.rates,
            drain=self.drain,
            context_factory=self.context_factory,
            payloads=self.payloads,
            streams=streams,
            subscriptions=Subscriptions(),
            body_seconds=self.body_seconds,
            page=self.page,
        )
        return site([Route("/graphql", http)], allowed_origins=["*"])

    def sockets(self) -> Sockets:
        door = SocketDoor(
            schema=self.schema,
            verifier=self.verifier,
            rates=self.rates,
            connections=self.connections,
            drain=self.drain,
            context_factory=self.context_factory,
            payloads=self.payloads,
            metrics=self.metrics,
            clock=self.clock,
            timers=Timers(self.clock),
            max_subscriptions=self.max_subscriptions,
            lifetime=self.lifetime,
            handshakes=self.handshakes,
            random=Random(7),
            come_back_seconds=self.come_back_seconds,
        )
        terms = socket_terms(
            self.metrics, stall=self.stall, ping_seconds=self.ping_seconds, pong_seconds=self.ping_seconds
        )
        return Sockets(door, terms, trusted_proxies=self.trusted_proxies)

    def config(self) -> uvicorn.Config:
        return server_config(
            self.app(),
            host="127.0.0.1",
            port=0,
            http_protocol=answer_guard(self.senders, self.stall, self.metrics, self.sockets()),
            trusted_proxies=self.trusted_proxies,
        )

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Harness]:
        """uvicorn without its signal handlers and its ten ticks a second."""
        config = self.config()
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        self.port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            for listener in server.servers:
                listener.close()
            for connection in list(server.server_state.connections):
                connection.shutdown()
            await eventually(lambda: not server.server_state.tasks and not server.server_state.connections)
            await server.lifespan.shutdown()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/graphql"

    def closes(self, cause: str) -> float:
        return self.metrics.registry.get_sample_value("covey_connection_closes_total", {"cause": cause}) or 0.0

    def refusals(self, limit: str) -> float:
        return self.metrics.registry.get_sample_value("covey_refusals_total", {"limit": limit}) or 0.0

    @contextlib.asynccontextmanager
    async def revoking(self) -> AsyncIterator[Revocations]:
        """Revocations take effect while within."""
        enforcing = asyncio.create_task(self.revocations.run())
        try:
            await eventually(lambda: self.revocations.loaded)
            yield self.revocations
        finally:
            enforcing.cancel()
            await asyncio.gather(enforcing, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def socket(self, *subprotocols: str, forwarded_for: str | None = None) -> AsyncIterator[Talk]:
        names = [Subprotocol(name) for name in subprotocols or ("graphql-transport-ws",)]
        headers = {} if forwarded_for is None else {"x-forwarded-for": forwarded_for}
        async with connect(
            self.socket_url, subprotocols=names, compression=None, proxy=None, additional_headers=headers
        ) as connection:
            yield Talk(connection)

    @contextlib.asynccontextmanager
    async def member(self, token: str | None = None) -> AsyncIterator[Talk]:
        """A socket that was acknowledged."""
        async with self.socket() as talk:
            await talk.init(token or member_token())
            yield talk


def client_of(harness: Harness, token: str | None = None) -> httpx.AsyncClient:
    """A client of the HTTP door with a token: a member's, if none is given."""
    headers = {"authorization": f"Bearer {token or member_token()}"}
    return http_client(base_url=harness.url.removesuffix("/graphql"), headers=headers)


def error_code(answer: httpx.Response) -> str:
    """The code of the one error in an answer."""
    (error,) = answer.json()["errors"]
    assert error["message"]
    return str(error["extensions"]["code"])


class Talk:
    """A client over raw frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, message: object) -> None:
        await self.connection.send(msgspec.json.encode(message).decode())

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            message: dict[str, Any] = msgspec.json.decode(await self.connection.recv())
        return message

    async def init(self, token: str) -> None:
        await self.send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
        assert await self.receive() == {"type": "connection_ack"}

    async def subscribe(self, operation_id: str, query: str, **payload: object) -> None:
        await self.send({"id": operation_id, "type": "subscribe", "payload": {"query": query, **payload}})

    async def alive(self) -> bool:
        """Whether it answers still, everything sent before included."""
        await self.send({"type": "ping", "payload": {"n": 1}})
        while (message := await self.receive())["type"] != "pong":
            pass
        return bool(message["payload"] == {"n": 1})

    async def _read_on(self) -> None:
        while True:
            await self.connection.recv()

    async def closed(self) -> tuple[int, str]:
        """The code and reason it is closed with; what comes before is passed over."""
        async with asyncio.timeout(10):
            with pytest.raises(ConnectionClosed) as end:
                await self._read_on()
        assert end.value.rcvd is not None, "dropped without a close frame (1006)"
        return end.value.rcvd.code, end.value.rcvd.reason


def http_client(**how: Any) -> httpx.AsyncClient:
    """For plain HTTP on this machine: without proxies, and without the 30 ms that a TLS context costs."""
    return httpx.AsyncClient(trust_env=False, verify=False, **how)  # noqa: S501 (no TLS here)


async def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until it holds; the time is only how long a broken test hangs."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (conditions of many kinds, without events of their own)
            await asyncio.sleep(0.005)


async def until_stalled(harness: Harness) -> None:
    """Wait until a flooded reader takes nothing more: deliveries have come to a halt."""
    before = -1.0
    while True:
        await asyncio.sleep(0.05)
        now = harness.metrics.registry.get_sample_value("covey_deliveries_total", {"door": "socket"}) or 0.0
        if now == before > 0:
            return
        before = now


def door_tasks() -> list[str]:
    """The names of the doors' tasks that run."""
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith(("socket ", "stream ", "drain"))]
