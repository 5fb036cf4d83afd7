"""What a cluster says of topics, their ids included: aiokafka's own requests are older than topic ids.

Metadata request 10 (KIP-516), which every Kafka from 2.8 on answers.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from msgspec import Struct

_NO_TOPIC: Final = 3
"""UNKNOWN_TOPIC_OR_PARTITION"""
_NO_LEADER: Final = 5
"""LEADER_NOT_AVAILABLE: said of a partition, and of a topic that has such a one; the facts are there all the same."""
_READ: Final = 1 << 3
_WRITE: Final = 1 << 4
"""Bits of what an account may do (org.apache.kafka.common.acl.AclOperation)."""


class PartitionFacts(Struct, frozen=True, kw_only=True):
    """One partition as the cluster sees it now."""

    leader: int
    """The broker that takes writes; -1 where there is none."""
    replicas: int
    in_sync: int


class TopicFacts(Struct, frozen=True, kw_only=True):
    """One topic as the cluster sees it now."""

    name: str
    id: str
    """Another one if the topic is deleted and made again."""
    partitions: tuple[PartitionFacts, ...]
    readable: bool
    """Whether the account that asks may read events, as the cluster's rights are now."""
    writable: bool


class _Uuid(AbstractType):  # type: ignore[misc]  # aiokafka ships no types
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, names: Sequence[str]) -> None:
        self._topics: list[tuple[uuid.UUID, str, dict[int, bytes]]] = [(uuid.UUID(int=0), name, {}) for name in names]

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._topics, False, False, True, {})


async def topic_facts(client: AIOKafkaClient, names: Sequence[str]) -> Mapping[str, TopicFacts]:
    """Those of the topics that exist. Raises aiokafka's KafkaError."""
    # Never by `allow_auto_topic_creation`: a topic that nobody planned would have the cluster's defaults.
    response = await client.send(client.get_random_node(), _MetadataRequest(names))
    found: dict[str, TopicFacts] = {}
    for error_code, name, topic_id, _, partitions, rights, _ in response.topics:
        if error_code == _NO_TOPIC:
            continue
        if error_code not in (0, _NO_LEADER):
            raise _error(error_code)
        facts = {
            partition: PartitionFacts(leader=leader, replicas=len(replicas), in_sync=len(in_sync))
            for _, partition, leader, _, replicas, in_sync, *_ in partitions
        }
        found[name] = TopicFacts(
            name=name,
            id=str(topic_id),
            partitions=tuple(facts[number] for number in sorted(facts)),
            readable=bool(rights & _READ),
            writable=bool(rights & _WRITE),
        )
    return found


def _error(code: int) -> KafkaError:
    error: KafkaError = for_code(code)()
    return error
