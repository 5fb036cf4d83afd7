"""A server of these tests is known for the one that was started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.process import ServerFailed
from tests.services.redis import RedisServer

pytestmark = pytest.mark.services


async def test_another_redis_on_the_port_is_not_taken_for_the_one_that_was_started(
    tmp_path: Path, redis_url: str
) -> None:
    first = RedisServer(tmp_path / "first")
    second = RedisServer(tmp_path / "second", port=first.port)
    await first.start()
    try:
        with pytest.raises(ServerFailed, match="ended at once"):
            await second.start()
    finally:
        await first.stop()
