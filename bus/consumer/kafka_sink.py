"""Writes retries and dead letters to Kafka."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from bus.consumer.record import Headers
from bus.errors import LogUnavailable
from bus.kafka.security import KafkaLink, client_options

_ANSWER_SECONDS: Final = 5
_MAX_RECORD_BYTES: Final = 8 * 1024 * 1024
"""A letter is a little larger than its event; what is too large is for the topic's own setting to say."""


class KafkaSink:
    """A producer that is made when it is first needed, and anew after it failed.

    Acknowledged by all in-sync replicas. A record may be written twice where an acknowledgement was lost: readers know
    events by their ids.
    """

    def __init__(self, link: KafkaLink) -> None:
        self._link = link
        self._producer: Any = None
        self._starting = asyncio.Lock()

    async def send(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers, partition: int | None = None
    ) -> None:
        """As `Sink` says; the partition is its key's where none is given."""
        producer: Any = None
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                producer = await self._running()
                await producer.send_and_wait(topic, value, key=key, headers=list(headers), partition=partition)
        except (KafkaError, OSError) as error:  # a timeout is an OSError
            if producer is not None and producer is self._producer:
                await self.close()
            raise LogUnavailable(f"Kafka did not take a record ({type(error).__name__}).") from error

    async def close(self) -> None:
        """Let go of the producer; what it was writing is refused to its writers, who try again."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await producer.stop()
        except (KafkaError, OSError):
            await producer.client.close()

    async def _running(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **client_options(self._link),
                    acks="all",
                    request_timeout_ms=_ANSWER_SECONDS * 1000,
                    max_request_size=_MAX_RECORD_BYTES,
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer
