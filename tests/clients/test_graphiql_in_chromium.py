"""GraphiQL as a newcomer meets it, in headless Chromium."""

from __future__ import annotations

import pytest

from tests.clients.conftest import Demo, RunScript


@pytest.mark.browser
async def test_a_newcomer_who_only_presses_play_sees_the_events_arrive_and_nothing_leaves_the_machine(
    run_script: RunScript, chromium: str, new_demo: Demo
) -> None:
    seen = await run_script("graphiql.mjs", new_demo.link, chromium)

    accepted = seen["submitted"]["data"]["submitCoverageRequest"]
    assert accepted["__typename"] == "CoverageRequestAccepted"

    events = [item for item in seen["followed"]["newestFirst"] if item["__typename"] == "CoverageRequestEvent"]
    assert [event["type"] for event in events] == ["COMPLETED", "STARTED", "SCHEDULED", "ENQUEUED", "SUBMITTED"]
    assert events[0]["coverage"]["status"] == "ACTIVE"

    assert seen["resumeVariables"] == {"requestId": accepted["request"]["id"], "after": events[1]["cursor"]}
    assert [event["type"] for event in seen["resumed"]["newestFirst"]] == ["COMPLETED"]
    assert seen["member"]["newestFirst"][-1]["__typename"] == "Checkpoint"

    assert seen["tabs"] == ["Submit", "Follow", "Resume", "MemberEvents"]
    assert seen["complaints"] == []
    assert seen["strangers"] == []
