"""A served harness with default limits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.delivery.harness import Harness


@pytest.fixture
async def served() -> AsyncIterator[Harness]:
    async with Harness().serving() as harness:
        yield harness
