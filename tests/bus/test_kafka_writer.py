"""A producer that is let go of, as far as it needs no Kafka."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer.message_accumulator import MessageAccumulator

from bus.kafka import writer

PARTITION = TopicPartition("rte.events", 0)


@pytest.mark.parametrize("again", [False, True])
async def test_what_a_producer_held_fails_for_its_writer_alone(again: bool) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    accumulator = MessageAccumulator(cluster=None, batch_size=1_000, compression_type=0, batch_ttl=3)
    future = await accumulator.add_message(PARTITION, b"key", b"value", timeout=1)
    batch = accumulator._pop_batch(PARTITION)
    if again:
        accumulator.reenqueue(batch)

    async def stop() -> None:
        await asyncio.sleep(0)

    producer: Any = SimpleNamespace(
        _sender=SimpleNamespace(sender_task=asyncio.ensure_future(asyncio.sleep(3_600))),
        _message_accumulator=accumulator,
        stop=stop,
    )
    await writer._abandon(producer)
    with pytest.raises(KafkaTimeoutError):
        await future
    await asyncio.sleep(0)
    assert complaints == []
