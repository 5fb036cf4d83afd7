"""Writing to Kafka: acknowledged by all copies in sync, never twice, bounded in number and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from bus.errors import EventTooLarge, LogUnavailable
from bus.events import Topic
from bus.kafka.records import Message
from bus.kafka.starting import Starting
from bus.kafka.topics import MOST_RECORD_BYTES

_IN_FLIGHT_EVENTS: Final = 500
"""More at once do not go faster; 20,000 were seen to time out one and all."""
_WAITING_EVENTS: Final = 10_000
_DEADLINE_SECONDS: Final = 4.0
"""Writers hear of a cluster that takes nothing within 5 s."""
_REQUEST_MILLISECONDS: Final = 3_000
_REFRAMING_BYTES: Final = 64 * 1024
"""Left free, so that what retries and dead letters add to a record fits too."""

_logger = structlog.get_logger(__name__)


class KafkaWriter:
    """Owns the producer, and replaces it when it gets stuck.

    An idempotent producer of aiokafka tries for ever, and after one batch that was lost it is of no more use. So when
    an event does not get through in time the producer is dropped with all that it holds: what was refused to its writer
    does not turn up in the log when the cluster is back. What the broker was just taking in may.
    """

    def __init__(
        self, options: Mapping[str, Any], names: Mapping[Topic, str], most_bytes: Mapping[Topic, int] | None = None
    ) -> None:
        """`options` are those of `client_options`; `most_bytes` is what each topic takes as one record, where that is
        not as planned."""
        self._options = options
        self._names = names
        ours = MOST_RECORD_BYTES - _REFRAMING_BYTES
        self._most_bytes = {topic: min((most_bytes or {}).get(topic, ours), ours) for topic in names}
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._in_flight = asyncio.Semaphore(_IN_FLIGHT_EVENTS)
        self._waiting_events = 0
        self._clients = Starting()
        self._closed = False

    async def close(self) -> None:
        """Refuse everything from here on; what is under way is refused too unless it is done within the deadline."""
        self._closed = True
        if self._producer is not None:
            try:
                async with asyncio.timeout(_DEADLINE_SECONDS):
                    await self._producer.flush()
            except TimeoutError:
                pass  # those who wait for it hear of it
            self._drop(self._producer)
        await self._clients.settle()

    async def write(self, messages: Sequence[Message]) -> Sequence[int]:
        """The offset of each message once all are durable; those of one place in this order.

        Raises LogUnavailable where that is not so in time; some may be in the log nevertheless. Raises EventTooLarge
        where one is more than its topic takes: nothing is written then, unless the topic took more when it was opened.
        """
        for message in messages:
            self._refuse_too_large(message)
        if self._waiting_events + len(messages) > _WAITING_EVENTS:
            raise LogUnavailable(f"{self._waiting_events} events wait to be written: try again later.")
        self._waiting_events += len(messages)
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                producer = await self._running()
                sent = [await self._send(producer, message) for message in messages]
                return [metadata.offset for metadata in await asyncio.gather(*sent)]
        except MessageSizeTooLargeError as error:
            # The topic takes less than it did. The broker has not counted what it refused, so whatever came next from
            # this producer for the same partition would be refused as out of order.
            if producer is not None:
                self._drop(producer)
            raise EventTooLarge("An event is larger than the log takes.") from error
        except (KafkaError, TimeoutError, OSError) as error:
            if producer is not None and self._producer is producer:
                # Once for all who wait for it: what they are told says no more than that the log is away.
                _logger.warning("kafka_took_too_long", waiting=self._waiting_events, error=type(error).__name__)
            if producer is not None:
                self._drop(producer)
            raise LogUnavailable(f"Kafka did not take the event in time ({type(error).__name__}).") from error
        finally:
            self._waiting_events -= len(messages)

    def _refuse_too_large(self, message: Message) -> None:
        size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(message.key, message.value, message.headers)
        most = self._most_bytes[message.place.topic]
        if size > most:
            raise EventTooLarge(f"An event has {size} bytes; the log takes {most} at most.")

    async def _running(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._closed:
                raise LogUnavailable("The log was closed.")
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._options,
                    enable_idempotence=True,
                    acks="all",
                    request_timeout_ms=_REQUEST_MILLISECONDS,
                    max_request_size=MOST_RECORD_BYTES,
                )
                await self._clients.start(producer.start, producer.stop)
                self._producer = producer
            return self._producer

    async def _send(self, producer: AIOKafkaProducer, message: Message) -> asyncio.Future[Any]:
        await self._in_flight.acquire()
        try:
            place = message.place
            future: asyncio.Future[Any] = await producer.send(
                self._names[place.topic],
                key=message.key,
                value=message.value,
                partition=place.partition,
                headers=message.headers,
            )
        except BaseException:
            self._in_flight.release()
            raise
        future.add_done_callback(self._landed)
        return future

    def _landed(self, future: asyncio.Future[Any]) -> None:
        self._in_flight.release()
        if not future.cancelled():
            future.exception()  # whoever waited was told, unless they have gone

    def _drop(self, producer: AIOKafkaProducer) -> None:
        """Let go of the producer and of all that it holds, without another attempt to send it."""
        if self._producer is producer:
            self._producer = None
            self._clients.leave(_abandon(producer))


async def _abandon(producer: AIOKafkaProducer) -> None:
    # `stop` flushes first, for ever where nobody listens; aiokafka has no public way to give up.
    producer._sender.sender_task.cancel()
    accumulator = producer._message_accumulator
    # A batch that was sent and is to be sent again is no longer counted as sent, but takes itself out from there when
    # it fails: aiokafka's KeyError in the log.
    accumulator._pending_batches.update(batch for batches in accumulator._batches.values() for batch in batches)
    accumulator.reenqueue = lambda _: None  # nor is one put back that is on its way to another broker
    accumulator.fail_all(KafkaTimeoutError())
    # It may end as cancelled, with its sender, before it has closed its connections.
    stopping = asyncio.ensure_future(producer.stop())
    await asyncio.wait({stopping})
    if stopping.cancelled() or (error := stopping.exception()) is not None:
        reason = "CancelledError" if stopping.cancelled() else type(error).__name__
        _logger.info("producer abandoned", error=reason)  # it is of no more use, whatever it says
        await producer.client.close()
