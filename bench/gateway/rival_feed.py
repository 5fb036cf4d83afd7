"""Events for the rivals written in Python: lines over a plain socket, which costs them less than Kafka would; or, where
times are compared, the same lines from Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

from aiokafka import AIOKafkaConsumer

Take = Callable[[str, bytes], None]
Feed = Callable[[Take], Coroutine[None, None, None]]
_POLL_MS: Final = 1000


async def open_feed(source: str) -> Feed:
    """What calls its argument with the member and the event's JSON of each line that comes from now on.

    `source` is a port of this machine, or `HOST:PORT/TOPIC` of Kafka.
    """
    return await (_of_kafka(source) if "/" in source else _of_socket(int(source)))


async def _of_socket(port: int) -> Feed:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)

    async def run(take: Take) -> None:
        while line := await reader.readline():
            _give(line, take)
        writer.close()

    return run


async def _of_kafka(source: str) -> Feed:
    servers, _, topic = source.partition("/")
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, enable_auto_commit=False)
    await consumer.start()
    await consumer.seek_to_end()
    for partition in consumer.assignment():
        await consumer.position(partition)

    async def run(take: Take) -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    _give(record.value, take)

    return run


def _give(line: bytes, take: Take) -> None:
    member, _, event = line.partition(b" ")
    take(member.decode(), event)
