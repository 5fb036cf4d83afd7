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


class Producer:
    """As much of aiokafka's as is let go of. Its stop ends as cancelled, with the sender, where `cancelled` says so."""

    def __init__(self, accumulator: MessageAccumulator, *, cancelled: bool) -> None:
        self._message_accumulator = accumulator
        self._sender = SimpleNamespace(sender_task=asyncio.ensure_future(asyncio.sleep(3_600)))
        self.client = self
        self.closed = False
        self._cancelled = cancelled

    async def stop(self) -> None:
        await asyncio.sleep(0)
        if self._cancelled:
            raise asyncio.CancelledError
        await self.close()

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("again", ["never", "before", "later"])
async def test_what_a_producer_held_fails_for_its_writer_alone_and_its_connections_are_closed(
    again: str, cancelled: bool
) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    accumulator = MessageAccumulator(cluster=None, batch_size=1_000, compression_type=0, batch_ttl=3)
    future = await accumulator.add_message(PARTITION, b"key", b"value", timeout=1)
    batch = accumulator._pop_batch(PARTITION)
    if again == "before":
        accumulator.reenqueue(batch)

    producer: Any = Producer(accumulator, cancelled=cancelled)
    await writer._abandon(producer)
    if again == "later":  # by what waited for another broker
        accumulator.reenqueue(batch)
    with pytest.raises(KafkaTimeoutError):
        await future
    await asyncio.sleep(0)
    assert complaints == []
    assert producer.closed
