"""The consumer on a real Kafka: what only a broker can prove."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer
from prometheus_client import CollectorRegistry

from bus.consumer import (
    Consumer,
    ConsumerMetrics,
    Delivery,
    Handlers,
    Retries,
    TopicsMissing,
    Tuning,
    letters,
    open_consumer,
)
from bus.consumer.dead_letters import DeadLetters
from bus.consumer.errors import DeadLetterUnknown
from bus.events import Submitted
from tests.bus.conftest import submitted
from tests.bus.consumer.kafka_topics import Topics

pytestmark = pytest.mark.services

GROUP = "tested"
RETRIES = Retries(topics=(1,))
NIMBLE = Tuning(commit_seconds=0.1, watch_seconds=0.5, drain_seconds=3)


@asynccontextmanager
async def running(
    topics: Topics, handlers: Handlers, *, tuning: Tuning = NIMBLE, metrics: ConsumerMetrics | None = None
) -> AsyncIterator[Consumer]:
    async with open_consumer(
        topics.link,
        group=GROUP,
        handlers=handlers,
        retries=RETRIES,
        tuning=tuning,
        prefix=topics.prefix,
        metrics=metrics,
    ) as consumer:
        task = asyncio.create_task(consumer.run())
        try:
            yield consumer
        finally:
            consumer.stop()
            await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for is of many kinds
            await asyncio.sleep(0.02)


def collecting(seconds: float = 0.0) -> tuple[Handlers, Counter[str], list[str]]:
    """Handlers that take so long; what they ended, and what they had begun."""
    handlers, ended, begun = Handlers(), Counter[str](), list[str]()

    @handlers.on(Submitted)
    async def handle(delivery: Delivery[Submitted]) -> None:
        begun.append(delivery.event.subject)
        await asyncio.sleep(seconds)
        ended[delivery.event.subject] += 1

    return handlers, ended, begun


async def test_every_event_is_handled_and_committed_and_a_restart_handles_none_again(topics: Topics) -> None:
    handlers, ended, _ = collecting()
    await topics.add_group(handlers, GROUP, RETRIES)
    await topics.publish(*(submitted(f"r{number}", member=f"m{number % 20}") for number in range(500)))
    async with running(topics, handlers):
        await until(lambda: len(ended) == 500)
    assert await topics.committed(GROUP) == 500
    await topics.publish(submitted("last"))
    async with running(topics, handlers):
        await until(lambda: "last" in ended)
    assert set(ended.values()) == {1}


async def test_an_event_that_fails_goes_through_its_retry_to_the_dead_letters_and_back(topics: Topics) -> None:
    handlers, mended, attempts = Handlers(), asyncio.Event(), list[int]()

    @handlers.on(Submitted)
    async def handle(delivery: Delivery[Submitted]) -> None:
        attempts.append(delivery.attempt)
        if not mended.is_set():
            raise ConnectionError

    own = await topics.add_group(handlers, GROUP, RETRIES)
    await topics.publish(submitted("r1"))
    async with running(topics, handlers), DeadLetters.open(topics.link) as dead_letters:
        await until(lambda: len(attempts) == 2)
        async with asyncio.timeout(20):
            while not (found := await dead_letters.list(prefix=topics.prefix)):  # noqa: ASYNC110 - written elsewhere
                await asyncio.sleep(0.1)
        (dead,) = found
        assert (dead.place.topic, dead.letter.attempts, dead.letter.cause) == (own.dead, 2, "ConnectionError")
        assert (dead.type, dead.subject, dead.letter.origin.topic) == ("rte.submitted", "r1", own.source)
        assert (await dead_letters.get(dead.place)).value is not None

        mended.set()
        await dead_letters.send_back(dead.place)
        await until(lambda: len(attempts) == 3)
        assert attempts == [1, 2, 1]
        assert await dead_letters.list(prefix=topics.prefix) == []
        with pytest.raises(DeadLetterUnknown):
            await dead_letters.send_back(dead.place)
    retry, sent_back = await topics.read(own.retry(1)), await topics.read(own.retry(0))
    assert letters.own(retry[0].headers) == letters.own(sent_back[0].headers)


async def test_bar_21_rebalance_with_every_handler_at_work_for_long_nobody_is_expelled(topics: Topics) -> None:
    """Handlers take four times as long as Kafka's client lets pass between two polls before it leaves the group."""
    handlers, ended, _ = collecting(seconds=4)
    await topics.add_group(handlers, GROUP, RETRIES)
    registry = CollectorRegistry()
    tuning = Tuning(max_poll_seconds=1, commit_seconds=0.1, room=20)
    await topics.publish(*(submitted(f"r{number}", member=f"m{number}") for number in range(30)))
    async with running(topics, handlers, tuning=tuning, metrics=ConsumerMetrics(registry)):
        await until(lambda: len(ended) == 30)

    def value(metric: str, **labels: str) -> float:
        return registry.get_sample_value(f"covey_consumer_{metric}", {"group": GROUP} | labels) or 0.0

    # Expelled, it would have been given its partitions again, and handled their events again.
    assert set(ended.values()) == {1}
    polls = value("poll_gap_seconds_count")
    assert polls > 0
    assert value("poll_gap_seconds_bucket", le="1.0") == polls


async def test_bar_21_rebalance_in_the_middle_of_calls_gives_them_their_end_and_repeats_none(topics: Topics) -> None:
    handlers, ended, begun = collecting(seconds=1.5)
    await topics.add_group(handlers, GROUP, RETRIES)
    await topics.publish(*(submitted(f"r{number}", member=f"m{number}") for number in range(60)))
    async with running(topics, handlers):
        await until(lambda: len(begun) == 15)
        async with running(topics, handlers):
            await until(lambda: len(ended) == 60)
    # Both had a share, all handlers that were at work ended within the drain, and nothing was handled twice.
    assert set(ended.values()) == {1}
    assert len(begun) == 60
    assert await topics.committed(GROUP) == 60


async def test_a_handler_that_is_given_up_in_a_rebalance_has_its_event_handled_by_another(topics: Topics) -> None:
    long, _, begun = collecting(seconds=3600)
    await topics.add_group(long, GROUP, RETRIES)
    await topics.publish(*(submitted(f"r{number}", member=f"m{number}") for number in range(9)))
    async with running(topics, long, tuning=Tuning(drain_seconds=0.5)):
        await until(lambda: len(begun) == 9)
    handlers, ended, _ = collecting()
    async with running(topics, handlers):
        await until(lambda: len(ended) == 9)


async def test_without_its_topics_a_consumer_says_which_are_missing(topics: Topics) -> None:
    handlers, _, _ = collecting()
    with pytest.raises(TopicsMissing, match=rf"{topics.prefix}rte\.events\.tested\.0s\.retry"):
        async with open_consumer(topics.link, group=GROUP, handlers=handlers, prefix=topics.prefix) as consumer:
            await consumer.run()


async def test_the_lag_is_told(topics: Topics) -> None:
    handlers, _, begun = collecting(seconds=3600)
    own = await topics.add_group(handlers, GROUP, RETRIES)
    await topics.publish(*(submitted(f"r{number}", member=f"m{number}") for number in range(7)))
    registry = CollectorRegistry()
    labels = {"group": GROUP, "topic": own.source}
    tuning = Tuning(watch_seconds=0.2, drain_seconds=0.1)
    async with running(topics, handlers, tuning=tuning, metrics=ConsumerMetrics(registry)):
        await until(lambda: len(begun) == 7)
        await until(lambda: registry.get_sample_value("covey_consumer_lag_events", labels) == 7)


async def test_a_client_that_fell_silent_is_made_anew(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching stops without an error, as users of the client report: here because its fetcher was ended."""
    clients: list[AIOKafkaConsumer] = []
    start = AIOKafkaConsumer.start

    async def remembered(client: AIOKafkaConsumer) -> None:
        clients.append(client)
        await start(client)

    monkeypatch.setattr(AIOKafkaConsumer, "start", remembered)
    handlers, ended, _ = collecting()
    await topics.add_group(handlers, GROUP, RETRIES)
    await topics.publish(submitted("r1"))
    async with running(topics, handlers, tuning=Tuning(watch_seconds=0.2, stall_seconds=2, commit_seconds=0.1)):
        await until(lambda: "r1" in ended)
        for task in (clients[0]._fetcher._fetch_task, *clients[0]._fetcher._pending_tasks):
            task.cancel()
        await topics.publish(submitted("r2"))
        await until(lambda: "r2" in ended)
    assert len(clients) == 2
