"""Official clients, as they come: each follows a request, is cut off in the middle, resumes by cursor, and is told why
where it may not follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.clients.conftest import Demo, RunScript

pytestmark = pytest.mark.node


def assert_whole(events: Sequence[dict[str, Any]]) -> None:
    """Each event once, in order, to the end."""
    assert [event["sequence"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["type"] for event in events] == ["SUBMITTED", "ENQUEUED", "SCHEDULED", "STARTED", "COMPLETED"]
    assert len({event["id"] for event in events}) == 5
    assert events[-1]["coverage"]["status"] == "ACTIVE"


@pytest.mark.parametrize("how", ["socket", "multipart"])
async def test_apollo_client(run_script: RunScript, demo: Demo, how: str) -> None:
    seen = await run_script("apollo.mjs", demo.link, demo.token, how)
    assert_whole(seen["events"])
    assert (seen["cuts"], seen["who"], seen["refusal"]) == (1, "m-1", "NOT_FOUND")


@pytest.mark.parametrize("how", ["socket", "sse"])
async def test_urql(run_script: RunScript, demo: Demo, how: str) -> None:
    seen = await run_script("urql.mjs", demo.link, demo.token, how)
    assert_whole(seen["events"])
    assert (seen["cuts"], seen["who"], seen["refusal"]) == (1, "m-1", "NOT_FOUND")


async def test_graphql_sse_comes_back_by_itself(run_script: RunScript, demo: Demo) -> None:
    seen = await run_script("graphql-sse.mjs", demo.link, demo.token)
    assert_whole(seen["events"])
    assert (seen["cuts"], seen["connected"], seen["refusal"]) == (1, 2, "NOT_FOUND")


async def test_event_source_comes_back_by_itself_and_resumes_by_last_event_id_alone(
    run_script: RunScript, demo: Demo
) -> None:
    seen = await run_script("eventsource.mjs", demo.link, demo.token)
    assert_whole(seen["events"])
    assert all("cursor" not in event for event in seen["events"])
    first, second = seen["resumedFrom"]
    assert first is None
    assert second in seen["ids"][1:]
    assert len(set(seen["ids"])) == 5
