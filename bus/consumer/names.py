"""The topics that belong to a consumer group: its retries, one topic a delay, and its dead letters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, structs

from bus.consumer.handlers import Handlers
from bus.consumer.retries import Retries
from bus.kafka.topics import TopicPlan, topic_name

_GROUP: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_OWN: Final = re.compile(r"(?P<source>.+)\.(?P<group>[a-z0-9][a-z0-9-]{0,62})\.(?:(?P<delay>\d+)s\.retry|dlq)")
_MAX_LENGTH: Final = 249
"""Of a topic's name, by Kafka."""


class GroupTopics(Struct, frozen=True):
    """The topics of one group beside one source topic; no other group reads them.

    Raises ValueError for a group that is not 1 to 63 small letters, digits and hyphens, or where a name gets too long.
    """

    source: str
    group: str

    def __post_init__(self) -> None:
        if not _GROUP.fullmatch(self.group):
            raise ValueError("A consumer group's name has 1 to 63 small letters, digits and hyphens.")
        if len(self.retry(86_400)) > _MAX_LENGTH:
            raise ValueError("The names of the source topic and the group are too long together.")

    def retry(self, seconds: int) -> str:
        """Records wait there for so long. 0: what `covey dlq retry` sent back; every group has that topic."""
        return f"{self.source}.{self.group}.{seconds}s.retry"

    @property
    def dead(self) -> str:
        return f"{self.source}.{self.group}.dlq"

    def all(self, delays: Iterable[int]) -> tuple[str, ...]:
        """Every topic that a group with these delays needs."""
        return (*(self.retry(seconds) for seconds in (0, *delays)), self.dead)


def group_topics_of(dead_topic: str) -> GroupTopics | None:
    """Whose dead letters these are; None for a topic that holds none."""
    match = _OWN.fullmatch(dead_topic)
    return None if match is None or match["delay"] is not None else GroupTopics(match["source"], match["group"])


def group_topics(handlers: Handlers, group: str, prefix: str = "") -> tuple[GroupTopics, ...]:
    """Of every topic that a group of these handlers reads; `prefix` as in `topic_name`."""
    return tuple(GroupTopics(topic_name(topic, prefix), group) for topic in sorted(handlers.topics))


def group_plans(sources: Sequence[TopicPlan], topics: Sequence[GroupTopics], retries: Retries) -> list[TopicPlan]:
    """The group's own topics as `create_topics` makes them: each like its source, whose plan is among `sources`.

    Raises ValueError where a source has no plan.
    """
    plans = {plan.name: plan for plan in sources}
    if missing := [each.source for each in topics if each.source not in plans]:
        raise ValueError(f"Without a plan: {', '.join(missing)}.")
    return [structs.replace(plans[each.source], name=name) for each in topics for name in each.all(retries.topics)]
