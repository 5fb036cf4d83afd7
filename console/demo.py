"""`covey demo`: the server and a payer simulator in one process, for somebody who has never met Covey."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import typer

import app
from bus.clock import SystemClock
from console import development_token
from console.check import check, conclude, connected
from console.coverage_table import event_line
from console.errors import UsedWrongly, WorkFailed
from console.ports import is_free, require_free
from console.submit_and_follow import Item
from console.terminal import printer
from delivery.caller import Role
from payer.simulator.app import simulator_app
from payer.simulator.running import running_simulator
from settings import Settings

_HOST: Final = "127.0.0.1"
_TENANT: Final = "demo"
_MEMBER: Final = "m-1"
_TOKEN_SECONDS: Final = 8 * 3600
_QUESTION: Final = {
    "payer": "60054",
    "member": _MEMBER,
    "first-name": "Jane",
    "last-name": "Doe",
    "birth-date": "2004-04-04",
    "card": "AETNA12345",
}
"""The first of the people that Stedi documents for tests."""
_DRAIN_SECONDS: Final = 1.0
"""Unless set: there is no other instance that returning clients could come down upon."""


async def demo(settings: Settings, *, port: int) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code. Raises UsedWrongly, PortInUse, and what a start raises."""
    _only_in_development(settings)
    require_free(_HOST, port)
    async with _simulator(settings) as payer_url:
        served = _served(settings, payer_url)
        return await app.serve(
            served, host=_HOST, port=port, on_ready=lambda url: _welcome(served, url, _payers(settings))
        )


async def once(settings: Settings, *, port: int, keep_data: bool) -> int:
    """Serve for one check, show its events and coverage, and end; 0 if it completed.

    Without `keep_data` the log is in a folder of its own, which is removed: a demo that runs meanwhile goes on.
    """
    _only_in_development(settings)
    if keep_data:
        return await _once(settings, port)
    with TemporaryDirectory(prefix="covey-") as folder:
        return await _once(settings.model_copy(update={"data": Path(folder), "log": None}), port)


async def _once(settings: Settings, port: int) -> int:
    async with _simulator(settings) as payer_url:
        served = _served(settings, payer_url)
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        free_port = port if is_free(_HOST, port) else 0
        server = asyncio.create_task(
            app.serve(served, host=_HOST, port=free_port, on_ready=ready.set_result, stop=stop), name="server"
        )
        try:
            await asyncio.wait((server, ready), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                await server  # raises why it did not start
                raise WorkFailed("The server ended before it was ready.")
            return await _checked(served, ready.result())
        finally:
            stop.set()
            await server


async def _checked(settings: Settings, url: str) -> int:
    out, err = printer(), printer(stderr=True)
    async with connected(url, _token(settings)) as client:
        last = await check(client, _request(), lambda item: out.print(event_line(item), markup=False, highlight=False))
    return conclude(last, out, err)


def _served(settings: Settings, payer_url: str) -> Settings:
    drain_seconds = settings.drain_seconds if "drain_seconds" in settings.model_fields_set else _DRAIN_SECONDS
    return settings.model_copy(update={"payer_url": payer_url, "drain_seconds": drain_seconds})


def _simulator(settings: Settings) -> AbstractAsyncContextManager[str]:
    """The payers' address: of a simulator in this process, unless the settings name another."""
    if settings.names_payers:
        return nullcontext(settings.payer_url)
    return running_simulator(simulator_app(seed=1, slots=settings.slots, speed=1.0, clock=SystemClock()))


def _request() -> Item:
    question = _QUESTION
    return {
        "question": {
            "memberId": question["member"],
            "payerId": question["payer"],
            "subscriber": {
                "memberId": question["card"],
                "firstName": question["first-name"],
                "lastName": question["last-name"],
                "dateOfBirth": question["birth-date"],
            },
        },
        # A folder that is kept may hold the answer of an earlier time; then there were no events to show.
        "cacheMode": "REQUIRE_FRESH",
    }


def _payers(settings: Settings) -> str:
    """Who answers."""
    return f"asking {settings.payer_url}" if settings.names_payers else "with a simulator in the payers' place"


def _welcome(settings: Settings, url: str, payers: str) -> None:
    options = " ".join(f"--{name} {shlex.quote(value)}" for name, value in _QUESTION.items())
    folder = "" if settings.data == Path("data") else f"COVEY_DATA={shlex.quote(str(settings.data))} "
    typer.echo(
        f"""
Covey runs, {payers}. Ctrl-C ends it; the log is {settings.log_path}.

Open    {url}/graphql

Or try  {folder}{_program()} check --url {url} {options}

Token   of member {_MEMBER} of tenant {_TENANT}, good for {_TOKEN_SECONDS // 3600} hours:
{_token(settings)}
"""
    )


def _program() -> str:
    """How this program was called, so that the printed command works from the same folder."""
    called = Path(sys.argv[0]).absolute()
    return os.path.relpath(called) if called.is_relative_to(Path.cwd()) else called.name


def _token(settings: Settings) -> str:
    return development_token.mint(settings, tenant=_TENANT, member=_MEMBER, role=Role.MEMBER, seconds=_TOKEN_SECONDS)


def _only_in_development(settings: Settings) -> None:
    if not settings.development:
        raise UsedWrongly("The demo is for development: unset COVEY_MODE, or run `covey serve`.")
    if settings.jwt_jwks_url or settings.jwt_public_key:
        raise UsedWrongly("The demo makes its own tokens: unset COVEY_JWT_JWKS_URL and COVEY_JWT_PUBLIC_KEY.")
