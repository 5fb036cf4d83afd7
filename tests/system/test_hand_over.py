"""A deploy: one instance takes over from another under load, and no client misses or repeats an event."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, WebSocketException

from bus.ids import random_id
from tests.bus.kafka_logs import link_to, new_topics
from tests.system.balancer import Balancer, balancing
from tests.system.issuer import Issuer
from tests.system.program import (
    SUBMIT,
    TERMINAL,
    Client,
    Server,
    greeted,
    question,
    readiness,
    serving,
    simulator,
    subscribe,
)

pytestmark = [pytest.mark.services, pytest.mark.slow]

MEMBERS: Final = 12
REQUESTS: Final = 8
"""Of each member, before, during and after the hand-over."""
FOLLOW: Final = """
subscription Follow($after: Cursor) {
  memberEvents(after: $after) {
    __typename
    ... on Update { cursor }
    ... on CoverageRequestEvent { id type sequence requestId }
    ... on Gap { reason }
  }
}
"""


class Follower:
    """A member's client: resumes by cursor after every cut, and writes down what it got."""

    def __init__(self, port: int, bearer: str) -> None:
        self._port = port
        self._bearer = bearer
        self.after: str | None = None
        self.events: list[dict[str, Any]] = []
        self.closes: list[int | None] = []
        self.subscribed, self.told = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                async with greeted(self._port, self._bearer) as socket_:
                    await subscribe(socket_, FOLLOW, after=self.after)
                    with suppress(ConnectionClosed):
                        async for frame in socket_:
                            self._take(json.loads(frame))
                    self.closes.append(socket_.close_code)
            await asyncio.sleep(0.05)

    def _take(self, message: dict[str, Any]) -> None:
        assert message["type"] == "next", message
        item = message["payload"]["data"]["memberEvents"]
        assert item["__typename"] != "Gap", item
        self.after = item["cursor"]
        self.subscribed.set()
        if item["__typename"] == "CoverageRequestEvent":
            self.events.append(item)
            self.told.set()

    def ended(self) -> set[str]:
        """The requests whose end it was told."""
        return {event["requestId"] for event in self.events if event["type"] in TERMINAL}


class Deployment(NamedTuple):
    """What instances that work together are started with, and who signs for their callers."""

    issuer: Issuer
    settings: dict[str, str]


@asynccontextmanager
async def deployment(kafka: str, redis: str) -> AsyncIterator[Deployment]:
    """With topics, and so views, of its own."""
    issuer = Issuer()
    async with new_topics(link_to(kafka), partitions=4) as prefix, simulator(speed=20) as payer_url:
        settings = {
            "payer_url": payer_url,
            "jwt_public_key": issuer.public_key,
            "log": f"kafka://{kafka}",
            "state": redis,
            "topic_prefix": prefix,
            "topic_partitions": "4",
            "topic_replication": "1",
            "topic_min_in_sync": "1",
            "cursor_key": f"a cursor key of this test {random_id()}",
            "drain_seconds": "2",
            "operations_per_second": "1000",
        }
        yield Deployment(issuer, settings)


@asynccontextmanager
async def instance(folder: Path, settings: dict[str, str]) -> AsyncIterator[Server]:
    folder.mkdir()
    async with serving(folder, **settings) as server:
        yield server


async def submitting(balancer: Balancer, bearer: str, member: str, stop: asyncio.Event) -> set[str]:
    """Ask on and on, whichever instance answers; what was accepted."""
    client, accepted = Client(balancer.port, bearer), set()
    for number in count():
        if stop.is_set() and number >= REQUESTS:
            break
        asked = {"question": question(member, "SIMOK"), "cacheMode": "REQUIRE_FRESH"}
        result = await client.execute_surely(SUBMIT, input={**asked, "idempotencyKey": f"{member}-{number}"})
        accepted.add(result["submitCoverageRequest"]["request"]["id"])
        await asyncio.sleep(0.2)
    await client.close()
    return accepted


async def test_two_instances_swap_under_load_and_no_client_misses_or_repeats_an_event(
    tmp_path: Path, kafka_address: str, redis_url: str
) -> None:
    async with deployment(kafka_address, redis_url) as deployed:
        settings, issuer = deployed.settings, deployed.issuer
        stop = asyncio.Event()
        async with instance(tmp_path / "old", settings) as old, balancing(old.port) as balancer:
            bearers = {f"m-{number}": issuer.token(f"m-{number}") for number in range(MEMBERS)}
            followers = {member: Follower(balancer.port, bearer) for member, bearer in bearers.items()}
            following = [asyncio.create_task(follower.run()) for follower in followers.values()]
            await asyncio.gather(*(follower.subscribed.wait() for follower in followers.values()))
            loads = {
                member: asyncio.create_task(submitting(balancer, bearer, member, stop))
                for member, bearer in bearers.items()
            }
            async with asyncio.timeout(60):
                await asyncio.gather(*(follower.told.wait() for follower in followers.values()))

            async with instance(tmp_path / "new", settings) as new:
                old.process.process.send_signal(signal.SIGTERM)
                await readiness(old.url, 503)
                balancer.targets = [new.port]
                assert await old.process.process.wait() == 0
                stop.set()
                accepted = dict(zip(loads, await asyncio.gather(*loads.values()), strict=True))
                async with asyncio.timeout(60):
                    while any(accepted[member] - followers[member].ended() for member in accepted):
                        assert not any(task.done() for task in following)
                        await asyncio.sleep(0.05)
                for task in following:
                    task.cancel()
                await asyncio.gather(*following, return_exceptions=True)
                assert "Traceback" not in old.written() + new.written()

        for member, follower in followers.items():
            told = defaultdict(list)
            for event in follower.events:
                told[event["requestId"]].append(event["sequence"])
            assert set(told) == accepted[member]
            assert all(sequences == list(range(1, len(sequences) + 1)) for sequences in told.values()), told
            assert follower.closes[0] == 1012
