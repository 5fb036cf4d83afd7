"""What a consumer does beside its bars: pausing, rebalances, trouble with Kafka, records that are no events."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from bus.consumer import Delivery, Handlers, Rejected, Retries, Tuning, letters
from bus.events import Cancelled, Submitted
from tests.bus.conftest import cancelled, downtime, submitted
from tests.bus.consumer.fake_kafka import FakeKafka
from tests.bus.consumer.running import OWN, running, until
from tests.virtual_time import run_virtually


class Seconds:
    """A handler that takes its time, and what became of each delivery."""

    def __init__(self, seconds: float) -> None:
        self.handlers = Handlers()
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.given_up: list[str] = []

        @self.handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            self.begun.append(delivery.event.subject)
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.given_up.append(delivery.event.subject)
                raise
            self.ended.append(delivery.event.subject)


def fill(kafka: FakeKafka, count: int) -> None:
    kafka.publish(*(submitted(f"r{number}", member=f"m{number}") for number in range(count)))


def test_each_handler_gets_its_type_and_other_types_are_passed_over() -> None:
    async def main() -> None:
        kafka, handlers = FakeKafka(), Handlers()
        heard: list[object] = []

        @handlers.on(Submitted)
        async def on_submitted(delivery: Delivery[Submitted]) -> None:
            heard.append((delivery.event.type.value, delivery.data.question.date_of_service, delivery.attempt))

        @handlers.on(Cancelled)
        async def on_cancelled(delivery: Delivery[Cancelled]) -> None:
            heard.append((delivery.event.type.value, delivery.data.payer_id, delivery.attempt))

        first = submitted()
        kafka.publish(first, cancelled(first))
        kafka.append("rte.events", key=b"k", value=b"{}", headers=[("ce_type", b"rte.invented.later")])
        async with running(kafka, handlers) as run:
            await until(lambda: sum(kafka.committed.values()) == 3)
            assert run.value("events_total", result="passed_over") == 1
        assert heard == [
            ("rte.submitted", first.data.question.date_of_service, 1),  # type: ignore[union-attr]
            ("rte.cancelled", "60054", 1),
        ]

    run_virtually(main())


def test_a_type_has_one_handler() -> None:
    handlers = Seconds(0).handlers
    with pytest.raises(ValueError, match="has a handler already"):
        handlers.on(Submitted)(lambda _: asyncio.sleep(0))


@pytest.mark.parametrize(
    ("headers", "value", "why"),
    [
        ([("ce_type", b"rte.submitted")], b"{}", "not of its type"),
        ([], b"hello", "no type"),
        ([("ce_type", b"rte.submitted"), ("ce_time", b"\xff")], None, "not of its type"),
        ([("ce_type", b"rte.submitted")], b"\x01sealed", "sealed with another key"),
    ],
    ids=["half an event", "no event", "not even text", "sealed"],
)
def test_what_is_no_event_becomes_a_dead_letter_at_once(
    headers: list[tuple[str, bytes]], value: bytes | None, why: str
) -> None:
    async def main() -> None:
        kafka = FakeKafka()
        kafka.append("rte.events", key=b"k", value=value, headers=headers)
        async with running(kafka, Seconds(0).handlers):
            await until(lambda: bool(kafka.all(OWN.dead)))
        (dead,) = kafka.all(OWN.dead)
        assert (dead.value, letters.own(dead.headers)) == (value, headers)
        assert letters.read(dead.headers).cause == f"undecodable: {why}"

    run_virtually(main())


def test_a_rejected_event_is_not_tried_again() -> None:
    async def main() -> None:
        kafka, handlers, attempts = FakeKafka(), Handlers(), Counter[str]()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            attempts[delivery.event.id] += 1
            raise Rejected("no-address")

        fill(kafka, 3)
        async with running(kafka, handlers):
            await until(lambda: len(kafka.all(OWN.dead)) == 3)
        assert set(attempts.values()) == {1}
        assert {letters.read(dead.headers).cause for dead in kafka.all(OWN.dead)} == {"rejected: no-address"}

    run_virtually(main())


def test_attempts_in_place_keep_the_order_of_their_key() -> None:
    async def main() -> None:
        kafka, handlers, heard = FakeKafka(), Handlers(), list[tuple[str, int]]()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            heard.append((delivery.event.subject, delivery.attempt))
            if delivery.event.subject == "r0" and delivery.attempt < 3:
                raise ConnectionError

        kafka.publish(submitted("r0"), submitted("r1"))
        async with running(kafka, handlers, retries=Retries(in_place=(10, 20), topics=())):
            await until(lambda: sum(kafka.committed.values()) == 2)
        assert heard == [("r0", 1), ("r0", 2), ("r0", 3), ("r1", 1)]

    run_virtually(main())


def test_paused_it_begins_nothing_and_resumed_it_goes_on() -> None:
    async def main() -> None:
        kafka, slow = FakeKafka(), Seconds(10)
        fill(kafka, 40)
        async with running(kafka, slow.handlers) as run:
            await until(lambda: len(slow.begun) == 15)
            run.consumer.pause()
            await asyncio.sleep(1000)
            assert (len(slow.begun), len(slow.ended)) == (15, 15)
            assert len(kafka.sources) == 1
            run.consumer.resume()
            await until(lambda: len(slow.ended) == 40)

    run_virtually(main())


def test_before_a_rebalance_handlers_end_and_what_they_did_is_committed() -> None:
    async def main() -> None:
        kafka, slow = FakeKafka(), Seconds(8)
        fill(kafka, 30)
        async with running(kafka, slow.handlers, tuning=Tuning(drain_seconds=10)):
            await until(lambda: len(slow.begun) == 15)
            await kafka.sources[0].go()
            assert len(slow.begun) == len(slow.ended) == 15
            # Someone else reads on from what is committed: nothing that ended is read again.
            again = sum(len(log) for log in kafka.partitions("rte.events")) - sum(kafka.committed.values())
            assert again == 15
            kafka.sources[0].come()
            await until(lambda: len(slow.ended) == 30)
        assert not slow.given_up
        assert len(set(slow.begun)) == 30

    run_virtually(main())


def test_a_handler_that_takes_longer_than_a_rebalance_can_wait_is_given_up_and_its_event_handled_again() -> None:
    async def main() -> None:
        kafka, slow = FakeKafka(), Seconds(120)
        fill(kafka, 3)
        async with running(kafka, slow.handlers, tuning=Tuning(drain_seconds=10)):
            await until(lambda: len(slow.begun) == 3)
            began = asyncio.get_running_loop().time()
            await kafka.sources[0].go()
            assert asyncio.get_running_loop().time() - began < 12
            assert not kafka.committed
            kafka.sources[0].come()
            await until(lambda: len(slow.ended) == 3)
        assert Counter(slow.given_up) == Counter(slow.ended)

    run_virtually(main())


def test_a_rebalance_does_not_wait_for_what_only_waits_to_be_tried_again() -> None:
    async def main() -> None:
        kafka, handlers = FakeKafka(), Handlers()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            raise ConnectionError

        fill(kafka, 3)
        async with running(kafka, handlers, retries=Retries(in_place=(3600,)), tuning=Tuning(drain_seconds=10)):
            await asyncio.sleep(5)
            began = asyncio.get_running_loop().time()
            await kafka.sources[0].go()
            assert asyncio.get_running_loop().time() - began < 1

    run_virtually(main())


def test_the_gap_between_polls_stays_under_a_second_while_every_handler_takes_two_minutes() -> None:
    async def main() -> None:
        kafka, slow = FakeKafka(), Seconds(120)
        fill(kafka, 200)
        async with running(kafka, slow.handlers, tuning=Tuning(room=40)):
            await until(lambda: len(slow.ended) == 60)
            polls = kafka.sources[0].polls
            assert len(kafka.sources) == 1
            assert max(later - earlier for earlier, later in pairwise(polls)) < 1
            # And no more was taken than there is room for.
            assert sum(kafka.sources[0].positions.values()) <= 60 + 40

    run_virtually(main())


def test_room_that_comes_free_is_used_at_once() -> None:
    async def main() -> None:
        kafka, quick = FakeKafka(), Seconds(0.001)
        fill(kafka, 1000)
        async with running(kafka, quick.handlers, tuning=Tuning(room=8)):
            await until(lambda: len(quick.ended) == 1000)
            assert asyncio.get_running_loop().time() < 10

    run_virtually(main())


def test_a_partition_waits_for_its_oldest_event_once_too_much_would_be_read_again() -> None:
    async def main() -> None:
        kafka, handlers, ended = FakeKafka(), Handlers(), list[str]()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            if delivery.event.subject == "r0":
                await asyncio.sleep(500)
            ended.append(delivery.event.subject)

        kafka.publish(submitted("r0", member="m0"))
        async with running(kafka, handlers, tuning=Tuning(uncommitted=50)):
            for number in range(1, 400):
                kafka.publish(submitted(f"r{number}", member=f"m{number}"))
                await asyncio.sleep(0.1)
            source = kafka.sources[0]
            stuck = next(kept.partition for kept in kafka.all("rte.events") if kept.key == b'["t1","m0"]')
            read = {
                partition.partition: at for partition, at in source.positions.items() if "retry" not in partition[0]
            }
            assert read.pop(stuck) <= 55
            assert all(at == len(kafka.partitions("rte.events")[number]) for number, at in read.items())
            await until(lambda: len(ended) == 400)

    run_virtually(main())


@pytest.mark.unmeasured  # an hour of polls
def test_retries_that_wait_take_no_room_from_others_and_only_so_many_are_in_memory() -> None:
    async def main() -> None:
        kafka, handlers, ended = FakeKafka(), Handlers(), Counter[int]()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            ended[delivery.attempt] += 1
            if delivery.attempt == 1:
                raise ConnectionError

        tuning = Tuning(room=10, waiting_a_partition=20)
        async with running(kafka, handlers, retries=Retries(topics=(3600,)), tuning=tuning):
            for number in range(300):
                kafka.publish(submitted(f"r{number}", member=f"m{number}"))
                await asyncio.sleep(0.3)
            assert ended == {1: 300}
            waiting = [at for partition, at in kafka.sources[0].positions.items() if "3600s" in partition.topic]
            assert all(20 <= at <= 30 for at in waiting)
            await until(lambda: ended == {1: 300, 2: 300}, seconds=4000)

    run_virtually(main())


def test_a_client_that_stopped_reading_without_an_error_is_made_anew() -> None:
    async def main() -> None:
        kafka, quick = FakeKafka(), Seconds(0)
        fill(kafka, 5)
        async with running(kafka, quick.handlers) as run:
            await until(lambda: len(quick.ended) == 5)
            kafka.deaf = True
            fill(kafka, 5)
            kafka.publish(submitted("new"))
            await until(lambda: kafka.sources[0].closed, seconds=60)
            kafka.deaf = False
            await until(lambda: "new" in quick.ended, seconds=60)
            assert run.value("restarts_total", cause="stalled") == 1

    run_virtually(main())


def test_long_handlers_and_a_pause_are_no_reason_to_make_the_client_anew() -> None:
    async def main() -> None:
        kafka, slow = FakeKafka(), Seconds(600)
        fill(kafka, 100)
        async with running(kafka, slow.handlers, tuning=Tuning(room=20)) as run:
            await asyncio.sleep(1000)
            run.consumer.pause()
            await asyncio.sleep(1000)
            assert len(kafka.sources) == 1
            run.consumer.resume()

    run_virtually(main())


def test_while_kafka_is_away_it_keeps_trying_and_loses_nothing() -> None:
    async def main() -> None:
        kafka, handlers, handled = FakeKafka(), Handlers(), Counter[str]()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            await asyncio.sleep(1)
            if delivery.event.subject == "r3" and delivery.attempt == 1:
                raise ConnectionError
            handled[delivery.event.subject] += 1

        fill(kafka, 10)
        async with running(kafka, handlers, retries=Retries(topics=(5,))) as run:
            await asyncio.sleep(0.5)
            kafka.away = True
            await asyncio.sleep(60)
            kafka.away = False
            await until(lambda: len(handled) == 10)
            await until(lambda: sum(kafka.committed.values()) >= 11)
            assert run.value("restarts_total", cause="failed") >= 1
        assert set(handled) == {f"r{number}" for number in range(10)}

    run_virtually(main())


def test_lag_counts_what_was_not_handled_and_not_what_was_not_read() -> None:
    async def main() -> None:
        kafka, slow = FakeKafka(), Seconds(60)
        fill(kafka, 30)
        async with running(kafka, slow.handlers, tuning=Tuning(concurrency=1)) as run:
            await asyncio.sleep(20)
            assert run.value("lag_events", topic="rte.events") == 30
            await until(lambda: len(slow.ended) == 30)
            await asyncio.sleep(10)
            assert run.value("lag_events", topic="rte.events") == 0

    run_virtually(main())


def test_what_is_logged_of_a_failure_holds_no_word_of_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        kafka, handlers = FakeKafka(), Handlers()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            raise ValueError(repr(delivery.data))

        kafka.publish(submitted(member="member-77", last_name="Rivera"), downtime())
        async with running(kafka, handlers, retries=Retries(topics=(5,))):
            await until(lambda: bool(kafka.all(OWN.dead)))

    run_virtually(main())
    told = capsys.readouterr()
    assert "an event could not be handled" in told.out
    assert not any(word in told.out + told.err for word in ("Rivera", "member-77", "W000000001", "1980"))
