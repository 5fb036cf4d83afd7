from __future__ import annotations

import pytest

from bus.ids import random_id
from bus.kafka.topics import log_plans
from console.topics import check, create
from tests.bus.kafka_logs import delete_topics, link_to

pytestmark = pytest.mark.services


async def test_topics_are_made_checked_and_drift_is_shown(
    kafka_address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    link, prefix = link_to(kafka_address), f"test-{random_id()}."
    planned = log_plans(partitions=2, replication=1, min_insync_replicas=1, retention_days=30, prefix=prefix)
    other = log_plans(partitions=4, replication=1, min_insync_replicas=1, retention_days=30, prefix=prefix)
    try:
        assert await check(link, planned) == 1
        assert capsys.readouterr().out.count("missing") == 2
        assert await create(link, planned) == 0
        assert f"created {prefix}rte.events" in capsys.readouterr().out
        assert await check(link, planned) == 0
        assert "as planned" in capsys.readouterr().out
        assert await create(link, other) == 1
        [line] = [line for line in capsys.readouterr().out.splitlines() if "partitions" in line]
        assert line.split()[:4] == [f"{prefix}rte.events", "partitions", "4", "2"]
    finally:
        await delete_topics(link, prefix)
