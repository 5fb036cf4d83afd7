"""Kafka's topics: what they are to be like, making them, and telling where they are otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from msgspec import Struct

from bus.errors import LogUnavailable
from bus.events import Topic
from bus.kafka.metadata import TopicFacts, topic_facts
from bus.kafka.security import KafkaLink, client_options, no_answer

_IN_USE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02
_DAY_MILLISECONDS: Final = 24 * 60 * 60 * 1000
_AT_LEAST: Final = frozenset({"max.message.bytes"})
"""Settings of which more than planned is as good."""

MOST_RECORD_BYTES: Final = 8 * 1024 * 1024
"""Of one record with all that is around it. An answer of the payer, which may have half of it, fits however it is
written down; Kafka's own default of 1 MiB would refuse it for ever."""


class TopicPlan(Struct, frozen=True, kw_only=True):
    """What one topic is to be like."""

    name: str
    partitions: int
    replication: int
    retention_days: float
    min_insync_replicas: int

    @property
    def configs(self) -> dict[str, str]:
        """As Kafka names and writes them."""
        return {
            "retention.ms": str(round(self.retention_days * _DAY_MILLISECONDS)),
            "min.insync.replicas": str(self.min_insync_replicas),
            "cleanup.policy": "delete",
            "max.message.bytes": str(MOST_RECORD_BYTES),
        }


class Drift(Struct, frozen=True, kw_only=True):
    """One way in which a topic is not as planned."""

    topic: str
    what: str
    """`missing`, `partitions`, `replication`, or the name of a setting of Kafka's."""
    planned: str
    found: str
    """Empty where there is nothing."""


class TopicReport(Struct, frozen=True, kw_only=True):
    """What was made, and what is otherwise than planned."""

    created: tuple[str, ...]
    drifts: tuple[Drift, ...]


def topic_name(topic: Topic, prefix: str = "") -> str:
    """What a topic is called in Kafka; `prefix` tells several Coveys on one cluster apart."""
    return f"{prefix}{topic.value}"


def log_plans(
    *, partitions: int, replication: int, min_insync_replicas: int, retention_days: float, prefix: str = ""
) -> tuple[TopicPlan, ...]:
    """The topics of the event log. All payers stand in one order, so `payer.events` has one partition."""
    return tuple(
        TopicPlan(
            name=topic_name(topic, prefix),
            partitions=1 if topic is Topic.PAYER else partitions,
            replication=replication,
            retention_days=retention_days,
            min_insync_replicas=min_insync_replicas,
        )
        for topic in Topic
    )


async def create_topics(link: KafkaLink, plans: Sequence[TopicPlan]) -> TopicReport:
    """Make the topics that are missing; those that exist are compared with their plan and left as they are.

    Raises LogUnavailable where the cluster cannot be reached or refuses.
    """
    async with _admin(link) as (admin, client):
        missing = await _missing(client, plans)
        if missing:
            await _create(admin, missing)
            await _in_use(client, missing)
        return TopicReport(
            created=tuple(plan.name for plan in missing),
            drifts=await _drifts(admin, client, [plan for plan in plans if plan not in missing]),
        )


async def check_topics(link: KafkaLink, plans: Sequence[TopicPlan]) -> Sequence[Drift]:
    """Every way in which the topics are not as planned; none where all is well. Raises LogUnavailable."""
    async with _admin(link) as (admin, client):
        missing = await _missing(client, plans)
        drifts = await _drifts(admin, client, [plan for plan in plans if plan not in missing])
    return [*(Drift(topic=plan.name, what="missing", planned="", found="") for plan in missing), *drifts]


async def topic_configs(link: KafkaLink, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """The settings of each topic, defaults included. Raises LogUnavailable."""
    async with _admin(link) as (admin, _):
        return await _configs(admin, names)


@asynccontextmanager
async def _admin(link: KafkaLink) -> AsyncIterator[tuple[AIOKafkaAdminClient, AIOKafkaClient]]:
    options = client_options(link)
    admin = AIOKafkaAdminClient(**options)
    client = AIOKafkaClient(**options)
    try:
        await admin.start()
        await client.bootstrap()
        yield admin, client
    except (KafkaConnectionError, OSError) as error:
        raise no_answer(options) from error
    except KafkaError as error:
        raise LogUnavailable(f"Kafka refuses ({type(error).__name__}).") from error
    finally:
        await client.close()
        await admin.close()


async def _missing(client: AIOKafkaClient, plans: Sequence[TopicPlan]) -> Sequence[TopicPlan]:
    found = await topic_facts(client, [plan.name for plan in plans])
    return [plan for plan in plans if plan.name not in found]


async def _create(admin: AIOKafkaAdminClient, plans: Sequence[TopicPlan]) -> None:
    response = await admin.create_topics(
        [
            NewTopic(
                name=plan.name,
                num_partitions=plan.partitions,
                replication_factor=plan.replication,
                topic_configs=plan.configs,
            )
            for plan in plans
        ]
    )
    for name, code, *details in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):  # another may have been faster
            reason = next((detail for detail in details if detail), for_code(code).__name__)
            raise LogUnavailable(f"Kafka does not make the topic {name}: {reason}")


async def _in_use(client: AIOKafkaClient, plans: Sequence[TopicPlan]) -> None:
    """Return once every partition has a leader: brokers hear of new topics a little later than they are made."""
    names = [plan.name for plan in plans]
    async with asyncio.timeout(_IN_USE_SECONDS):
        while True:
            found = await topic_facts(client, names)
            led = [all(partition.leader >= 0 for partition in facts.partitions) for facts in found.values()]
            if len(led) == len(names) and all(led):
                return
            await asyncio.sleep(_POLL_SECONDS)


async def _drifts(admin: AIOKafkaAdminClient, client: AIOKafkaClient, plans: Sequence[TopicPlan]) -> tuple[Drift, ...]:
    if not plans:
        return ()
    names = [plan.name for plan in plans]
    facts = await topic_facts(client, names)
    configs = await _configs(admin, names)
    return tuple(drift for plan in plans for drift in _compared(plan, facts[plan.name], configs[plan.name]))


def _compared(plan: TopicPlan, facts: TopicFacts, configs: Mapping[str, str]) -> Sequence[Drift]:
    planned = {"partitions": str(plan.partitions), "replication": str(plan.replication)} | plan.configs
    replication = min(partition.replicas for partition in facts.partitions)
    found = {**configs, "partitions": str(len(facts.partitions)), "replication": str(replication)}
    return [
        Drift(topic=plan.name, what=what, planned=value, found=found.get(what, ""))
        for what, value in planned.items()
        if not _as_planned(what, value, found.get(what, ""))
    ]


def _as_planned(what: str, planned: str, found: str) -> bool:
    if what in _AT_LEAST and found.isdecimal():
        return int(found) >= int(planned)
    return found == planned


async def _configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, _, _, name, entries in response.resources:
            if code:
                raise _error(code)
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _error(code: int) -> Any:
    return for_code(code)()
