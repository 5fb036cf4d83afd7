"""`covey topics create` and `check`: Kafka's topics, as planned or told otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bus.kafka.security import KafkaLink
from bus.kafka.topics import Drift, TopicPlan, check_topics, create_topics

_CURES = {
    "missing": "covey topics create",
    "partitions": "a change makes every cursor a Gap: docs/decisions/0009",
    "replication": "kafka-reassign-partitions.sh",
}
_SETTING_CURE = "kafka-configs.sh --alter"


async def create(link: KafkaLink, plans: Sequence[TopicPlan]) -> int:
    """Make what is missing, and tell what is otherwise than planned; the exit code: 0 where all is as planned.

    Topics that exist are never changed. Raises LogUnavailable.
    """
    report = await create_topics(link, plans)
    for name in report.created:
        Console().print(f"created {name}", highlight=False)
    return _told(plans, report.drifts)


async def check(link: KafkaLink, plans: Sequence[TopicPlan]) -> int:
    """Tell what is otherwise than planned; the exit code: 0 where nothing is. Raises LogUnavailable."""
    return _told(plans, await check_topics(link, plans))


def _told(plans: Sequence[TopicPlan], drifts: Sequence[Drift]) -> int:
    if not drifts:
        Console().print(f"{', '.join(plan.name for plan in plans)}: as planned", highlight=False)
        return 0
    table = Table("topic", "what", "planned", "found", "to mend it", box=None, pad_edge=False)
    for drift in drifts:
        table.add_row(drift.topic, drift.what, drift.planned, drift.found, _CURES.get(drift.what, _SETTING_CURE))
    Console().print(table)
    return 1
