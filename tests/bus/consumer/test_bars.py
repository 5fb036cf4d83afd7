"""The bars of the consumer framework, in virtual time: order, at least once, poison, retries that are never early.

Bar 21, a rebalance in the middle of long calls, needs a real broker: test_on_kafka.py.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from datetime import timedelta

import pytest

from bus.consumer import DeadLetterLimit, Delivery, Handlers, Retries, StopReason, Tuning, letters
from bus.consumer.letters import Origin
from bus.events import Event, Submitted
from tests.bus.conftest import submitted
from tests.bus.consumer.fake_kafka import FakeKafka, Killed, Life
from tests.bus.consumer.running import OWN, Running, running, until
from tests.virtual_time import VirtualClock, run_virtually


def events_of(members: int, each: int) -> list[Event]:
    """`each` events of so many members, in turns; the ids tell whose and which."""
    return [
        submitted(f"m{member}-{number}", member=f"m{member}") for number in range(each) for member in range(members)
    ]


def member_and_number(delivery: Delivery[Submitted]) -> tuple[str, int]:
    member, _, number = delivery.event.subject.partition("-")
    return member, int(number)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("concurrency", [1, 64])
def test_bar_17_order_completions_of_a_key_are_in_their_order(concurrency: int, seed: int) -> None:
    """Concurrency 1 and 64 give the same result for every key."""

    async def main() -> None:
        kafka, handlers, times = FakeKafka(), Handlers(), random.Random(seed)
        ended: dict[str, list[int]] = defaultdict(list)
        at_work: Counter[str] = Counter()

        @handlers.on(Submitted)
        async def slow(delivery: Delivery[Submitted]) -> None:
            member, number = member_and_number(delivery)
            at_work[member] += 1
            assert at_work[member] == 1
            await asyncio.sleep(times.expovariate(1))
            at_work[member] -= 1
            ended[member].append(number)

        kafka.publish(*events_of(members=20, each=10))
        async with running(kafka, handlers, tuning=Tuning(concurrency=concurrency)) as run:
            await until(lambda: sum(map(len, ended.values())) == 200)
            await until(lambda: run.value("events_total", result="handled") == 200)
        assert dict(ended) == {f"m{member}": list(range(10)) for member in range(20)}
        # What was committed when it stopped is everything.
        assert sum(kafka.committed.values()) == 200

    run_virtually(main())


def test_bar_17_order_other_keys_are_never_blocked_and_nothing_behind_an_open_event_is_committed() -> None:
    async def main() -> None:
        kafka, handlers = FakeKafka(), Handlers()
        gate = asyncio.Event()
        ended: list[str] = []

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            if delivery.event.member_id == "m0":
                await gate.wait()
            ended.append(delivery.event.subject)

        kafka.publish(*events_of(members=10, each=5))
        async with running(kafka, handlers):
            await until(lambda: len(ended) == 45)
            await asyncio.sleep(5)
            stuck = next(kept for kept in kafka.all("rte.events") if kept.key == b'["t1","m0"]')
            committed = {partition.partition: offset for partition, offset in kafka.committed.items()}
            assert committed.get(stuck.partition, 0) == stuck.offset
            assert sum(committed.values()) >= len(kafka.all("rte.events")) - len(
                kafka.partitions("rte.events")[stuck.partition]
            )
            gate.set()
            await until(lambda: sum(kafka.committed.values()) == 50)

    run_virtually(main())


def test_bar_18_at_least_once_killed_at_every_step_nothing_is_lost_and_duplicates_leave_one_effect() -> None:
    """Effects bear the ids of their events, as the how-to asks for; the writer repeats itself too."""
    retries = Retries(in_place=(0.1,), topics=(1,))

    async def life_and_death(dies_at: int) -> bool:
        """Whether the process got to its end before the step it was to die at."""
        kafka, effects = FakeKafka(), Counter[str]()
        flaky: Counter[str] = Counter()
        events = events_of(members=3, each=3)
        kafka.publish(*events, events[0], events[4])

        def handlers_of(life: Life) -> Handlers:
            handlers = Handlers()

            @handlers.on(Submitted)
            async def handle(delivery: Delivery[Submitted]) -> None:
                life.step()
                await asyncio.sleep(0.01)
                flaky[delivery.event.id] += 1
                if delivery.event.subject == "m1-1" and flaky[delivery.event.id] <= 2:
                    raise ConnectionError
                if delivery.event.subject == "m2-0":
                    raise ValueError
                life.step()
                effects[delivery.event.id] = 1
                life.step()

            return handlers

        def done() -> bool:
            return len(effects) == 8 and bool(kafka.all(OWN.dead)) and sum(kafka.committed.values()) >= 11

        life = Life(dies_at)
        try:
            async with running(kafka, handlers_of(life), retries=retries, life=life) as run:
                await until(lambda: done() or run.task.done(), seconds=60)
        except Killed:
            async with running(kafka, handlers_of(Life()), retries=retries) as run:
                await until(done, seconds=60)
        assert set(effects) == {event.id for event in events} - {"m2-0/1"}
        assert set(effects.values()) == {1}
        assert {dict(letter.headers)["ce_id"] for letter in kafka.all(OWN.dead)} == {b"m2-0/1"}
        return life.steps < dies_at

    dies_at = 1
    while not run_virtually(life_and_death(dies_at)):
        dies_at += 1
    assert dies_at > 50


def test_bar_18_duplicates_that_a_writer_made_are_handled_once() -> None:
    async def main() -> None:
        kafka, handlers, handled = FakeKafka(), Handlers(), Counter[str]()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            await asyncio.sleep(1)
            handled[delivery.event.id] += 1

        events = events_of(members=3, each=3)
        kafka.publish(*events, *events)
        async with running(kafka, handlers) as run:
            await until(lambda: sum(kafka.committed.values()) == 18)
            assert run.value("events_total", result="duplicate") == 9
        assert set(handled.values()) == {1}

    run_virtually(main())


def test_bar_19_poison_leaves_after_its_attempts_with_cause_trace_key_and_position() -> None:
    async def main() -> None:
        kafka, handlers, attempts = FakeKafka(), Handlers(), list[int]()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            if delivery.event.member_id == "m1":
                attempts.append(delivery.attempt)
                raise ValueError(f"{delivery.data.question.subscriber.last_name} is unknown")

        kafka.publish(*events_of(members=3, each=1))
        async with running(kafka, handlers, retries=Retries(in_place=(0.1,), topics=(5, 60))) as run:
            await until(lambda: bool(kafka.all(OWN.dead)))
            await until(lambda: sum(kafka.committed.values()) == 3 + 2)
            assert run.value("events_total", result="dead") == 1
        source = next(kept for kept in kafka.all("rte.events") if kept.key == b'["t1","m1"]')
        (dead,) = kafka.all(OWN.dead)
        letter = letters.read(dead.headers)
        assert attempts == [1, 2, 3, 4]
        assert letter.attempts == 4
        assert letter.cause == "ValueError"
        assert letter.trace.endswith(" handle")
        assert letter.origin == Origin("rte.events", source.partition, source.offset)
        assert (dead.key, dead.value) == (source.key, source.value)
        assert letters.own(dead.headers) == list(source.headers)
        # No health data beside what the event's own record has.
        assert b"Rivera" in (source.value or b"")
        assert all(b"Rivera" not in value for _, value in dead.headers)

    run_virtually(main())


async def halted(run: Running) -> None:
    await until(lambda: run.consumer.halted is not None)


@pytest.mark.parametrize(
    ("bad", "reason", "most"), [(1.0, StopReason.IN_A_ROW, 49), (0.4, StopReason.SHARE, 60)], ids=["all", "many"]
)
def test_bar_19_poison_stops_the_consumer_before_a_bad_deploy_empties_the_topic(
    bad: float, reason: StopReason, most: int
) -> None:
    async def main() -> None:
        kafka, handlers, deployed = FakeKafka(), Handlers(), {"bad": True}
        handled: set[str] = set()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            _, number = member_and_number(delivery)
            if deployed["bad"] and number < bad * 100:
                raise ValueError
            handled.add(delivery.event.id)

        events = [event for number in random.Random(1).sample(range(100), 100) for event in of_number(number)]
        kafka.publish(*events)
        async with running(kafka, handlers, retries=Retries(topics=())) as run:
            await halted(run)
            assert run.consumer.halted is reason
            assert run.value("halted") == 1
            await asyncio.sleep(600)
            assert 0 < len(kafka.all(OWN.dead)) <= most
            # It stays a member of the group, and everything that is left is handled once somebody mended it.
            assert not run.task.done()
            deployed["bad"] = False
            run.consumer.resume()
            await until(lambda: len(handled) + len(kafka.all(OWN.dead)) == len(events))
            await until(lambda: sum(kafka.committed.values()) == len(events))

    def of_number(number: int) -> list[Event]:
        return [submitted(f"m{member}-{number}", member=f"m{member}") for member in range(10)]

    run_virtually(main())


def test_bar_19_poison_is_counted_anew_after_somebody_looked() -> None:
    async def main() -> None:
        kafka, handlers = FakeKafka(), Handlers()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            raise ValueError

        kafka.publish(*events_of(members=10, each=1))
        async with running(kafka, handlers, retries=Retries(topics=()), limit=DeadLetterLimit(in_a_row=3)) as run:
            await halted(run)
            assert len(kafka.all(OWN.dead)) == 2
            run.consumer.resume()
            assert run.consumer.halted is None
            await halted(run)
            assert len(kafka.all(OWN.dead)) == 4

    run_virtually(main())


def test_bar_19_limits_have_a_negative_control() -> None:
    """Without a limit the same deploy does empty the topic, so that the test above can fail."""

    async def main() -> None:
        kafka, handlers = FakeKafka(), Handlers()

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            raise ValueError

        kafka.publish(*events_of(members=10, each=100))
        none = DeadLetterLimit(share=1.0, in_a_row=10**9)
        async with running(kafka, handlers, retries=Retries(topics=()), limit=none):
            await until(lambda: len(kafka.all(OWN.dead)) == 1000)

    run_virtually(main())


def test_bar_20_retry_topic_is_never_early_and_late_at_most_a_second() -> None:
    retries = Retries(topics=(5, 60))

    async def main() -> None:
        kafka, handlers, clock = FakeKafka(), Handlers(), VirtualClock()
        late: list[timedelta] = []
        dues: dict[tuple[str, int], object] = {}
        times = random.Random(7)

        @handlers.on(Submitted)
        async def handle(delivery: Delivery[Submitted]) -> None:
            if delivery.attempt > 1:
                topic = OWN.retry(retries.topics[delivery.attempt - 2])
                (kept,) = [
                    kept for kept in kafka.all(topic) if dict(kept.headers)["ce_id"] == delivery.event.id.encode()
                ]
                due = letters.read(kept.headers).due
                assert due is not None
                late.append(clock.now() - due)
                dues[delivery.event.id, delivery.attempt] = due
            await asyncio.sleep(times.random())
            raise ConnectionError

        limit = DeadLetterLimit(share=1.0, in_a_row=10**9)
        async with running(kafka, handlers, retries=retries, limit=limit, tuning=Tuning(concurrency=500)):
            for number in range(100):
                kafka.publish(*(submitted(f"m{number}-{each}", member=f"m{number}-{each}") for each in range(3)))
                await asyncio.sleep(times.random())
            await until(lambda: len(kafka.all(OWN.dead)) == 300)
        assert len(late) == len(dues) == 600
        assert min(late) >= timedelta(0)
        assert sorted(late)[round(0.99 * len(late))] <= timedelta(seconds=1)

    run_virtually(main())
