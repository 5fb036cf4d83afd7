"""The demo around a stand-in for the server; the whole program is tested in tests/system."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import jwt
import pytest

from bus.clock import SystemClock
from console.errors import PortInUse, UsedWrongly, WorkFailed
from console.submit_and_follow import Item
from delivery.development_key import DevelopmentKey
from payer.simulator.app import simulator_app
from payer.simulator.running import running_simulator
from settings import Settings, load
from tests.console.scripted_server import event
from tests.console.test_coverage_table import COVERAGE, FAILURE


class StandIn:
    """Serves nothing, and remembers how it was asked to."""

    def __init__(self) -> None:
        self.settings: Settings
        self.port: int
        self.ended = False
        self.before_ready: Callable[[], None] = lambda: None

    async def serve(
        self,
        settings: Settings,
        *,
        host: str,
        port: int,
        on_ready: Callable[[str], None],
        stop: asyncio.Event | None = None,
    ) -> int:
        self.settings, self.port = settings, port
        DevelopmentKey.in_folder(settings.data)
        self.before_ready()
        try:
            on_ready(f"http://{host}:{port}")
            async with httpx.AsyncClient(trust_env=False) as http:
                assert (await http.get(f"{settings.payer_url}/sim/stats")).json()["in_flight"] == 0
            if self.waits:
                await (stop or asyncio.Event()).wait()
        finally:
            self.ended = True
        return 0

    waits = False


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    app = ModuleType("app")
    app.serve = stand_in.serve  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "app", app)
    monkeypatch.delitem(sys.modules, "console.demo", raising=False)
    return stand_in


@pytest.fixture
def demo(server: StandIn) -> Any:
    """The module, around the stand-in."""
    return importlib.import_module("console.demo")


def ended_by(monkeypatch: pytest.MonkeyPatch, demo: Any, last: Item) -> None:
    """Let the client's check end with this item."""

    async def check(_client: Any, request: Item, tell: Callable[[Item], None]) -> Item:
        assert request["cacheMode"] == "REQUIRE_FRESH"
        tell(event("SUBMITTED", "c1"))
        tell(last)
        return last

    monkeypatch.setattr(demo, "check", check)


async def test_it_prints_a_link_a_token_and_a_command_to_try(
    demo: Any, server: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await demo.demo(load(data=Path("kept here")), port=0) == 0
    told = capsys.readouterr().out
    assert "http://127.0.0.1:0/graphql" in told
    assert "COVEY_DATA='kept here' " in told and " check --url http://127.0.0.1:0 --payer 60054 --member m-1" in told
    token = next(line for line in told.splitlines() if line.count(".") == 2 and line.startswith("eyJ"))
    assert jwt.decode(token, options={"verify_signature": False})["mid"] == "m-1"


async def test_it_claims_a_simulator_only_where_it_brings_one(
    demo: Any, server: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await demo.demo(load(), port=0)
    assert "with a simulator in the payers' place" in capsys.readouterr().out
    async with running_simulator(simulator_app(seed=1, slots=1, speed=1, clock=SystemClock())) as payers:
        monkeypatch.setenv("COVEY_PAYER_URL", payers)
        await demo.demo(load(), port=0)
    told = capsys.readouterr().out
    assert f"asking {payers}" in told and "simulator" not in told and server.settings.payer_url == payers


async def test_it_makes_its_own_tokens(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_JWT_JWKS_URL", "http://127.0.0.1:9/keys")
    with pytest.raises(UsedWrongly, match="unset COVEY_JWT_JWKS_URL"):
        await demo.demo(load(), port=0)


async def test_a_port_in_use_is_told_before_anything_starts(demo: Any, server: StandIn) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"Port {port} on 127.0.0.1 is taken, or may not be used: .*--port"):
            await demo.demo(load(), port=port)
    assert not server.ended


@pytest.mark.parametrize("way", ["demo", "once"])
async def test_it_is_for_development(demo: Any, way: str) -> None:
    settings = load().model_copy(update={"mode": "production"})
    options = {"port": 0} if way == "demo" else {"port": 0, "keep_data": False}
    with pytest.raises(UsedWrongly):
        await getattr(demo, way)(settings, **options)


async def test_once_shows_the_events_and_the_coverage_and_ends(
    demo: Any, server: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.waits = True
    ended_by(monkeypatch, demo, event("COMPLETED", "c2", coverage=COVERAGE))
    assert await demo.once(load(), port=0, keep_data=False) == 0
    told = capsys.readouterr().out
    assert [line.split()[1] for line in told.splitlines()[:2]] == ["submitted", "completed"]
    assert "Coverage ACTIVE" in told
    assert server.ended
    assert server.settings.data != Path("data") and not server.settings.data.exists()


async def test_once_fails_where_the_check_does(
    demo: Any, server: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.waits = True
    ended_by(monkeypatch, demo, event("FAILED", "c2", failure=FAILURE))
    assert await demo.once(load(), port=0, keep_data=True) == 1
    assert server.settings.data == Path("data")
    assert "75 (member data)" in capsys.readouterr().err


async def test_once_takes_a_free_port_where_its_own_is_in_use(
    demo: Any, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.waits = True
    ended_by(monkeypatch, demo, event("TIMEOUT", "c2", failure=FAILURE))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        await demo.once(load(), port=taken.getsockname()[1], keep_data=False)
    assert server.port == 0


async def test_once_tells_why_the_server_did_not_start(demo: Any, server: StandIn) -> None:
    def fails() -> None:
        raise WorkFailed("The log is locked.")

    server.before_ready = fails
    with pytest.raises(WorkFailed, match="locked"):
        await demo.once(load(), port=0, keep_data=False)


def test_the_printed_command_works_from_the_same_folder(
    demo: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv" / "bin" / "covey")])
    assert demo._program() == ".venv/bin/covey"
    monkeypatch.setattr(sys, "argv", ["/opt/elsewhere/covey"])
    assert demo._program() == "covey"
