"""The official Node `graphql-ws` client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Demo, RunScript
from tests.system.balancer import balancing
from tests.system.shared.cluster import cluster, own_redis


@pytest.mark.node
async def test_it_follows_to_the_end_and_after_a_cut_resumes_by_cursor_each_event_once_and_in_order(
    run_script: RunScript, demo: Demo
) -> None:
    assert_whole(await run_script("follow.mjs", demo.link, demo.token))


@pytest.mark.node
@pytest.mark.services
async def test_over_two_instances_it_is_cut_off_at_one_and_resumes_at_the_other(
    run_script: RunScript, tmp_path: Path, kafka_address: str
) -> None:
    async with (
        own_redis(tmp_path) as redis,
        cluster(tmp_path, kafka_address, redis.url, speed=20, lease_seconds="10", call_timeout_seconds="7") as together,
    ):
        first, second, _ = await asyncio.gather(together.serve(), together.serve(), together.worker())
        async with balancing(first.port, second.port) as balancer:
            bearer = together.issuer.token("m-1")
            assert_whole(await run_script("follow.mjs", f"http://127.0.0.1:{balancer.port}/graphql", bearer))
            _, followed_at, resumed_at = balancer.given
            assert followed_at != resumed_at


def assert_whole(seen: Any) -> None:
    events = seen["events"]
    assert seen["opened"] == 2
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events] == ["SUBMITTED", "ENQUEUED", "SCHEDULED", "STARTED", "COMPLETED"]
    assert len({event["id"] for event in events}) == len(events)
    assert events[-1]["coverage"] == {"status": "ACTIVE"}
