"""What the tests of the payer room ask, and the simulator they ask it of."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any, Final

import httpx
import pytest
from msgspec import Struct
from starlette.applications import Starlette

from bus.clock import SystemClock
from bus.ids import MemberId, PayerId, RequestId
from bus.question import Dependent, Person, Provider, Question, Relationship
from payer.outcome import Outcome
from payer.simulator.app import simulator_app
from payer.simulator.running import running_simulator
from payer.stedi import StediApi, StediClient

NOON: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY: Final = "test_5tRoNgLyKePt"
REQUEST: Final = RequestId("request-1")
_NO_CERTIFICATES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
JORDAN: Final = Dependent(
    first_name="Jordan", last_name="Doe", date_of_birth=date(2001, 7, 14), relationship=Relationship.CHILD
)

CURRENT_BODY: dict[str, Any] = {
    "payerId": "SIMOK",
    "provider": {"name": {"organization": "A"}, "npi": "1999999984"},
    "subscriber": {"memberId": "CARD1"},
}
LEGACY_BODY: dict[str, Any] = {
    "tradingPartnerServiceId": "SIMOK",
    "provider": {"organizationName": "A", "npi": "1999999984"},
    "subscriber": {"memberId": "CARD1"},
}


class FixedClock(SystemClock):
    """The wall clock stands still."""

    def now(self) -> datetime:
        return NOON


def question(
    payer_id: str = "SIMOK",
    card: str = "CARD1",
    name: str = "Jane Doe",
    born: str = "2000-01-01",
    *,
    dependent: Dependent | None = None,
    service_types: tuple[str, ...] = ("30",),
) -> Question:
    first_name, last_name = name.split()
    return Question(
        member_id=MemberId("member-1"),
        payer_id=PayerId(payer_id),
        provider=Provider(npi="1999999984", organization_name="Provider Name"),
        subscriber=Person(
            member_id=card, first_name=first_name, last_name=last_name, date_of_birth=date.fromisoformat(born)
        ),
        dependent=dependent,
        service_type_codes=service_types,
        date_of_service=NOON.date(),
    )


def plain_http() -> httpx.AsyncClient:
    """A client that does not read the machine's certificates, which takes long."""
    return httpx.AsyncClient(verify=_NO_CERTIFICATES)


def client(http: httpx.AsyncClient, url: str, api: StediApi = StediApi.CURRENT, seconds: float = 30.0) -> StediClient:
    return StediClient(http, base_url=url, api_key=KEY, api=api, timeout_seconds=seconds, clock=FixedClock())


class Simulator(Struct):
    """A running simulator, and how to talk to it."""

    http: httpx.AsyncClient
    url: str

    async def ask(self, asked: Question, api: StediApi = StediApi.CURRENT, seconds: float = 30.0) -> Outcome:
        return await client(self.http, self.url, api, seconds).check(asked, REQUEST)

    async def get(self, path: str, **query: str | int) -> Any:
        response = await self.http.get(self.url + path, params=query, headers={"Authorization": KEY})
        response.raise_for_status()
        return response.json()

    async def post(self, path: str, body: object) -> httpx.Response:
        return await self.http.post(self.url + path, json=body, headers={"Authorization": KEY})

    async def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = await self.get("/sim/stats")
        return stats


@asynccontextmanager
async def simulated(slots: int = 15, speed: float = 100_000.0, seed: int = 1) -> AsyncIterator[Simulator]:
    """A simulator over real HTTP; quick unless told otherwise."""
    app = simulator_app(seed, slots, speed, FixedClock())
    async with running_simulator(app) as url, plain_http() as http:
        yield Simulator(http, url)


@asynccontextmanager
async def in_process(app: Starlette) -> AsyncIterator[Simulator]:
    """A simulator without a socket, for what does not depend on one."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        yield Simulator(http, "http://simulator.test")


@pytest.fixture
async def door() -> AsyncIterator[Simulator]:
    async with in_process(simulator_app(1, 15, 100_000.0, FixedClock())) as simulator:
        yield simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulated() as running:
        yield running
