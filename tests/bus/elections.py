"""Partitions moved to another leader while every broker lives: requests that aiokafka's admin client lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import Array, CompactArray, CompactString, Int16, Int32, Schema, String, TaggedFields

_MILLISECONDS: Final = 10_000
_LEADS_ALREADY: Final = 84
"""ELECTION_NOT_NEEDED"""


class _ReassignResponse(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 45
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", CompactString("utf-8")),
        (
            "responses",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", CompactString("utf-8")),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _ReassignStruct(RequestStruct):  # type: ignore[misc]
    """AlterPartitionReassignments (KIP-455)."""

    FLEXIBLE_VERSION = True
    API_KEY = 45
    API_VERSION = 0
    RESPONSE_TYPE = _ReassignResponse
    SCHEMA = Schema(
        ("timeout_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(("partition", Int32), ("replicas", CompactArray(Int32)), ("tags", TaggedFields)),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Reassign(Request[_ReassignStruct]):  # type: ignore[misc]
    API_KEY = 45

    def __init__(self, topic: str, replicas: Mapping[int, Sequence[int]]) -> None:
        self._topic = topic
        self._partitions: list[Any] = [(number, list(nodes), {}) for number, nodes in replicas.items()]

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(_MILLISECONDS, [(self._topic, self._partitions, {})], {})


class _ElectResponse(Response):  # type: ignore[misc]
    API_KEY = 43
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(("partition", Int32), ("error_code", Int16), ("error_message", String("utf-8"))),
                ),
            ),
        ),
    )


class _ElectStruct(RequestStruct):  # type: ignore[misc]
    """ElectLeaders: of each partition the first replica."""

    API_KEY = 43
    API_VERSION = 0
    RESPONSE_TYPE = _ElectResponse
    SCHEMA = Schema(
        ("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))),
        ("timeout_ms", Int32),
    )


class _Elect(Request[_ElectStruct]):  # type: ignore[misc]
    API_KEY = 43

    def __init__(self, topic: str, partitions: Sequence[int]) -> None:
        self._topic = topic
        self._partitions = list(partitions)

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class([(self._topic, self._partitions)], _MILLISECONDS)


async def move_leaders(address: str, topic: str, leaders: Mapping[int, int]) -> None:
    """Have each partition led by the broker that is named for it, which must hold a copy of it."""
    copies = await copies_of(address, topic)
    client = AIOKafkaClient(bootstrap_servers=address)
    await client.bootstrap()
    try:
        replicas = {
            number: [leader, *(node for node in copies[number] if node != leader)] for number, leader in leaders.items()
        }
        answer = await client.send(client.get_random_node(), _Reassign(topic, replicas))
        assert answer.error_code == 0, answer
        async with asyncio.timeout(60):
            # A broker that was away is not in sync at once.
            while not _elected(await client.send(client.get_random_node(), _Elect(topic, list(leaders)))):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        await client.close()


def _elected(answer: Any) -> bool:
    return all(error in (0, _LEADS_ALREADY) for _, partitions in answer.results for _, error, _ in partitions)


async def known_everywhere(address: str, topics: Sequence[str]) -> None:
    """Return once every broker knows these new topics."""
    client = AIOKafkaClient(bootstrap_servers=address)
    await client.bootstrap()
    try:
        async with asyncio.timeout(60):
            for broker in client.cluster.brokers():
                while not _all_known(await client.send(broker.nodeId, MetadataRequest(list(topics)))):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
    finally:
        await client.close()


def _all_known(answer: Any) -> bool:
    return all(error == 0 for error, *_ in answer.topics)


async def leaders_of(address: str, topic: str) -> Mapping[int, int]:
    """Who leads each partition, as some broker says."""
    return {number: facts.leader for number, facts in (await _partitions(address, topic)).items()}


async def copies_of(address: str, topic: str) -> Mapping[int, Sequence[int]]:
    """Who holds each partition; in a new topic the first leads it."""
    return {number: facts.replicas for number, facts in (await _partitions(address, topic)).items()}


async def _partitions(address: str, topic: str) -> Mapping[int, Any]:
    client = AIOKafkaClient(bootstrap_servers=address)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        found: Mapping[int, Any] = client.cluster._partitions[topic]
        return found
    finally:
        await client.close()
