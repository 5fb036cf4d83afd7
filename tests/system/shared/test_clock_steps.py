"""The wall clock of a gateway and of a worker leaps by an hour, and back: requests end once, cursors and slots hold."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bus.events import EventData, Started, Submitted
from tests.system.program import question
from tests.system.shared.cluster import cluster, own_redis
from tests.system.shared.load import QUICK_PAYERS, Load
from tests.system.shared.truth import Truth, truth
from tests.system.shared.wall_clock import WallClock

pytestmark = [pytest.mark.services, pytest.mark.slow]
DEADLINE_SECONDS = 25
HOUR_SECONDS = 3600
STEP_SECONDS = 7.0
HELD = "{ scheduler { held } }"


async def test_a_clock_that_leaps_by_an_hour_and_back_loses_nothing(tmp_path: Path, kafka_address: str) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails, to run it again
    clock = WallClock(tmp_path / "clock")
    began = datetime.now(UTC)
    async with own_redis(tmp_path) as redis, cluster(tmp_path, kafka_address, redis.url) as together:
        stepped = [together.new(role, clock.env) for role in ("serve", "worker")]
        first, _, second, _ = await asyncio.gather(
            *(instance.start() for instance in stepped), together.serve(), together.worker()
        )
        now = int(time.time())  # the token holds by every clock here: what an hour does to tokens is not looked at
        client = together.client(first, second, iat=now - 2 * HOUR_SECONDS, exp=now + 2 * HOUR_SECONDS)
        operator = together.client(second, role="operator")
        load = Load(client, random.Random(seed), deadline_seconds=DEADLINE_SECONDS, payers=QUICK_PAYERS)
        for seconds in (HOUR_SECONDS, -HOUR_SECONDS, 0):
            await asyncio.sleep(STEP_SECONDS)
            clock.step(seconds)
        await asyncio.sleep(3)
        last = [
            await client.submitted(question("m-last", "SIMOK", last_name=name), at=at) for at, name in enumerate("AB")
        ]
        assert [await client.ended(request_id) for request_id in last] == ["COMPLETED"] * 2
        await load.stop()
        await load.verify(together, kafka_address)
        async with asyncio.timeout(20):  # a lease is four seconds by the clock that does not leap
            while (await operator.execute_surely(HELD))["scheduler"]["held"] > 0:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        told = await truth(kafka_address, together.prefix)
        # Killed, they would leave what libfaketime keeps in shared memory, by their process ids.
        assert await asyncio.gather(*(instance.stop() for instance in stepped)) == [0, 0]
    for kind in (Submitted, Started):  # what gateways and what workers wrote, an hour early, rightly, and an hour late
        leaps = {round((at - began) / timedelta(hours=1)) for at in times(told, kind)}
        assert leaps == {-1, 0, 1}, kind


def times(told: Truth, kind: type[EventData]) -> list[datetime]:
    """What their writers' clocks said when they wrote events of this kind."""
    return [one.event.time for events in told.counted.values() for one in events if isinstance(one.event.data, kind)]
