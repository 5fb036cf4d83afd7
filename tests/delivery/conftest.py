"""A served harness with default limits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.delivery.harness import Harness, client_of


@pytest.fixture
async def served() -> AsyncIterator[Harness]:
    async with Harness().serving() as harness:
        yield harness


@pytest.fixture
async def client(served: Harness) -> AsyncIterator[httpx.AsyncClient]:
    """A member's client of the HTTP door."""
    async with client_of(served) as client:
        yield client
