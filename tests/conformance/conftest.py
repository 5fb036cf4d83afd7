"""One real program for all cases of this folder, with a payers' side of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from bus.clock import SystemClock
from bus.ids import MemberId, TenantId
from delivery.caller import Role
from delivery.development_key import DevelopmentKey, sign_development_token
from tests.system.program import Server, free_port, running

LIMITS: Final = {
    "COVEY_CONNECTION_INIT_SECONDS": "1",
    "COVEY_MAX_SUBSCRIPTIONS_PER_CONNECTION": "4",
    "COVEY_CONNECTIONS_PER_MEMBER": "3",
    "COVEY_OPERATIONS_PER_SECOND": "1",
    "COVEY_OPERATIONS_BURST": "20",
}
"""Low, so that a few messages reach them; each test calls as a member of its own."""


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def program(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder, port = tmp_path_factory.mktemp("conformance"), free_port()
    url, data = f"http://127.0.0.1:{port}", folder / "data"
    arguments = ("demo", "--port", str(port), "--data", str(data))
    async with running(*arguments, env=LIMITS, folder=folder, answers_at=f"{url}/readyz") as process:
        yield Server(process, port, url, data)


_members: Final = itertools.count(1)


def signed(data: Path, ttl_seconds: int = 3600, role: Role = Role.MEMBER) -> str:
    """A token of somebody who did not call before."""
    number = next(_members)
    return sign_development_token(
        DevelopmentKey.in_folder(data),
        tenant_id=TenantId("conformance"),
        roles=[role],
        member_id=MemberId(f"m-{number}") if role is Role.MEMBER else None,
        ttl_seconds=ttl_seconds,
        now=SystemClock().now(),
        token_id=f"t-{number}",
    )


@pytest.fixture
def new_token(program: Server) -> Callable[[], str]:
    """A member's token, another member's each time."""
    return lambda: signed(program.data)


@pytest.fixture
def token(new_token: Callable[[], str]) -> str:
    return new_token()
