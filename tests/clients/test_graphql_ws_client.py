"""The official Node `graphql-ws` client."""

from __future__ import annotations

import pytest

from tests.clients.conftest import Demo, RunScript


@pytest.mark.node
async def test_it_follows_to_the_end_and_after_a_cut_resumes_by_cursor_each_event_once_and_in_order(
    run_script: RunScript, demo: Demo
) -> None:
    seen = await run_script("follow.mjs", demo.link, demo.token)
    events = seen["events"]
    assert seen["opened"] == 2
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events] == ["SUBMITTED", "ENQUEUED", "SCHEDULED", "STARTED", "COMPLETED"]
    assert len({event["id"] for event in events}) == len(events)
    assert events[-1]["coverage"] == {"status": "ACTIVE"}
