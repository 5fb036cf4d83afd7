"""What only a log on Kafka can do, or suffer."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition
from structlog.testing import capture_logs

from bus.clock import SystemClock
from bus.cursor import Cursors
from bus.errors import EventTooLarge, LogCorrupt, LogUnavailable
from bus.events import Event, Recorded, Topic, decode_data
from bus.fanout import Fanout
from bus.ids import MemberId, RequestId, TenantId
from bus.kafka.layout import Layout
from bus.kafka.log import KafkaLog
from bus.kafka.security import KafkaLink
from bus.kafka.topics import create_topics, log_plans, topic_name
from bus.metrics import Metrics
from bus.replay import Checkpoint, Delivered, Gap, GapReason, StreamItem, Streams
from bus.sealing import TenantSealer
from tests.bus.conftest import answered, cancelled, completed, downtime, enqueued, scheduled, started, submitted
from tests.bus.kafka_logs import (
    PARTITIONS,
    admin_of,
    delete_topics,
    link_to,
    new_topics,
    open_kafka_log,
)

pytestmark = pytest.mark.services

T1, M1 = TenantId("t1"), MemberId("m1")


@pytest.fixture
def link(kafka_address: str) -> KafkaLink:
    return link_to(kafka_address)


@pytest.fixture
async def prefix(link: KafkaLink) -> AsyncIterator[str]:
    async with new_topics(link) as name:
        yield name


async def append(log: KafkaLog, *events: Event) -> list[int]:
    recorded = await log.append(events)
    assert None not in recorded
    return [one.position for one in recorded if one]


async def first_items(log: KafkaLog, after: str | None, count: int = 1) -> list[StreamItem]:
    """The first items of the member's stream."""
    async with Fanout() as fanout:
        streams = Streams(log, fanout, Cursors(b"k" * 32, log.epoch), SystemClock(), Metrics())
        items = streams.member(T1, M1, after, lambda _: True)
        try:
            return [await anext(items) for _ in range(count)]
        finally:
            await items.aclose()


def kcat(link: KafkaLink, topic: str) -> list[dict[str, object]]:
    command = ["kcat", "-b", ",".join(link.servers), "-C", "-t", topic, "-e", "-q", "-o", "beginning", "-J"]
    output = subprocess.run(command, check=True, capture_output=True, timeout=30).stdout
    return [json.loads(line.decode(errors="replace")) for line in output.splitlines()]


async def test_kcat_reads_events_and_their_headers(link: KafkaLink, prefix: str) -> None:
    event = submitted()
    async with open_kafka_log(link, prefix) as log:
        await append(log, event, downtime("p1"))
    [message] = await asyncio.to_thread(kcat, link, topic_name(Topic.RTE, prefix))
    names = message["headers"]
    assert isinstance(names, list)
    headers = dict(zip(names[::2], names[1::2], strict=True))
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": "test",
        "ce_type": "rte.submitted",
        "ce_subject": "r1",
        "ce_time": "2026-03-02T12:00:00Z",
        "ce_tenantid": "t1",
        "ce_memberid": "m1",
        "ce_sequence": "1",
        "ce_attempt": "1",
        "content-type": "application/json",
    }
    assert message["key"] == '["t1","m1"]'
    assert decode_data(event.type, str(message["payload"]).encode()) == event.data
    [payer] = await asyncio.to_thread(kcat, link, topic_name(Topic.PAYER, prefix))
    assert payer["key"] == "p1"


async def test_what_is_sealed_shows_no_health_data_and_is_not_passed_over_without_its_key(
    link: KafkaLink, prefix: str
) -> None:
    async with open_kafka_log(link, prefix, sealer=TenantSealer(b"k" * 32)) as log:
        await append(log, submitted(last_name="Rivera"))
    [message] = await asyncio.to_thread(kcat, link, topic_name(Topic.RTE, prefix))
    assert "Rivera" not in json.dumps(message)
    async with open_kafka_log(link, prefix, sealer=TenantSealer(b"x" * 32)) as log:
        with pytest.raises(LogCorrupt):
            await log.read_member(T1, M1, after=0, limit=10)


async def test_a_second_process_reads_what_the_first_wrote(link: KafkaLink, prefix: str) -> None:
    async with open_kafka_log(link, prefix) as first, open_kafka_log(link, prefix) as second:
        begun = submitted()
        written = await append(first, begun, enqueued(begun))
        span = await second.member_span(T1, M1, reaching=written[-1])
        assert span.end == written[-1]
        assert [one.position for one in await second.read_member(T1, M1, after=0, limit=10)] == written
        assert second.epoch == first.epoch
        assert await second.append([submitted()]) == [None]
    async with open_kafka_log(link, prefix) as third:
        assert [one.position for one in await third.read_request(RequestId("r1"))][:2] == written
        assert await third.append([cancelled(enqueued(begun))]) != [None]


async def test_records_of_other_writers_stop_nobody(link: KafkaLink, prefix: str) -> None:
    async with open_kafka_log(link, prefix) as log:
        producer = AIOKafkaProducer(bootstrap_servers=list(link.servers))
        await producer.start()
        for headers in ([], [("ce_type", b"rte.unheard-of"), ("ce_memberid", b"m1")], [("ce_type", b"\xff")]):
            await producer.send_and_wait(topic_name(Topic.RTE, prefix), b"{", key=b'["t1","m1"]', headers=headers)
        await producer.stop()
        [position] = await append(log, submitted())
        assert position == 4
        assert [one.position for one in await log.read_member(T1, M1, after=0, limit=10)] == [position]


async def test_an_event_outside_its_members_partition_is_nobodys_to_see(link: KafkaLink, prefix: str) -> None:
    seen = Seen()
    async with open_kafka_log(link, prefix, sinks=[seen]) as log:
        message = log.records.message(submitted("stray"))
        elsewhere = (message.place.partition + 1) % PARTITIONS
        producer = AIOKafkaProducer(bootstrap_servers=list(link.servers))
        await producer.start()
        await producer.send_and_wait(
            topic_name(Topic.RTE, prefix), message.value, message.key, partition=elsewhere, headers=message.headers
        )
        await producer.stop()
        await append(log, submitted("own"))
        async with asyncio.timeout(30):
            await seen.subject("own")
        assert seen.subjects == ["own"]
        assert await log.read_request(RequestId("stray")) == []


class Seen:
    """A sink that keeps the subjects of what it takes."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self._more = asyncio.Event()

    async def take(self, batch: Sequence[Recorded]) -> None:
        self.subjects += [recorded.event.subject for recorded in batch]
        self._more.set()

    async def subject(self, subject: str) -> None:
        while subject not in self.subjects:
            self._more.clear()
            await self._more.wait()


async def test_a_position_that_expired_is_a_gap(link: KafkaLink, prefix: str) -> None:
    async with open_kafka_log(link, prefix) as log:
        cursor = (await first_items(log, None))[0].cursor
        [first, last] = await append(log, answered("c1"), answered("c2"))
        place = log.records.member_place(T1, M1)
        async with admin_of(link) as admin:
            partition = TopicPartition(topic_name(Topic.RTE, prefix), place.partition)
            await admin.delete_records({partition: RecordsToDelete(before_offset=first)})
    async with open_kafka_log(link, prefix) as log:
        [gap] = await first_items(log, cursor)
        assert isinstance(gap, Gap)
        assert gap.reason is GapReason.EXPIRED
        assert [one.position for one in await log.read_member(T1, M1, after=0, limit=10)] == [last]
        assert (await log.member_span(T1, M1)).floor == first


async def test_more_partitions_make_old_cursors_a_gap_and_stop_who_wrote_by_the_old_ones(
    link: KafkaLink, prefix: str
) -> None:
    async with open_kafka_log(link, prefix) as log:
        await append(log, submitted("r1"), submitted("r2", member="m2"))
        cursor = (await first_items(log, None))[0].cursor
        async with admin_of(link) as admin:
            await admin.create_partitions({topic_name(Topic.RTE, prefix): NewPartitions(total_count=7)})
        async with asyncio.timeout(10):
            while log.refusal is None:  # noqa: ASYNC110 - a server's doing
                await asyncio.sleep(0.05)
        with pytest.raises(LogUnavailable, match="changed"):
            await log.append([submitted("r3")])
        with pytest.raises(LogUnavailable, match="changed"):
            await log.read_member(T1, M1, after=0, limit=10)
    async with open_kafka_log(link, prefix) as log:
        [gap] = await first_items(log, cursor)
        assert isinstance(gap, Gap)
        assert gap.reason is GapReason.STREAM_RESET
        later = submitted("r9")
        await append(log, later)
        [checkpoint, delivered] = await first_items(log, gap.cursor, 2)
        assert isinstance(checkpoint, Checkpoint)
        assert isinstance(delivered, Delivered)
        assert delivered.recorded.event == later


async def test_a_look_that_fails_unexpectedly_is_told_and_not_the_last(
    link: KafkaLink, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, looks = Metrics(), 0
    monkeypatch.setattr("bus.kafka.log._LOOK_SECONDS", 0.01)
    with capture_logs() as lines:
        async with open_kafka_log(link, prefix, metrics=metrics) as log:
            secret = "m-" + "1"

            async def look() -> Layout:
                nonlocal looks
                looks += 1
                if looks < 3:
                    raise KeyError(secret)
                return Layout(facts={})

            monkeypatch.setattr(log._observer, "look", look)
            async with asyncio.timeout(10):
                while log.refusal is None:  # noqa: ASYNC110 - a server's doing
                    await asyncio.sleep(0.01)
    told = [line for line in lines if line["event"] == "kafka_not_observed"]
    assert [line["error"] for line in told] == ["KeyError", "KeyError"]
    assert secret not in str(told)
    assert metrics.internal_errors.labels("kafka")._value.get() == 2


async def test_a_topic_that_was_made_anew_is_another_log(link: KafkaLink, prefix: str) -> None:
    async with open_kafka_log(link, prefix) as log:
        before = log.epoch
    await delete_topics(link, prefix)
    plans = log_plans(partitions=4, replication=1, min_insync_replicas=1, retention_days=1, prefix=prefix)
    async with asyncio.timeout(20):
        while not (await create_topics(link, plans)).created:  # noqa: ASYNC110 - a server's doing
            await asyncio.sleep(0.05)
    async with open_kafka_log(link, prefix) as log:
        assert log.epoch != before


async def test_a_log_without_its_topics_says_which_command_makes_them(link: KafkaLink) -> None:
    with pytest.raises(LogUnavailable, match="covey topics create"):
        await KafkaLog.open(link, clock=SystemClock(), metrics=Metrics(), prefix="nowhere.")


async def test_too_many_waiting_events_are_refused_at_once(
    link: KafkaLink, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.kafka.writer._WAITING_EVENTS", 40)
    async with open_kafka_log(link, prefix) as log:
        results = await asyncio.gather(
            *(log.append([submitted(f"r{number}")]) for number in range(60)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, LogUnavailable)]
        assert len(refused) == 20
        assert len(await log.read_member(T1, M1, after=0, limit=100)) == 40


MEBIBYTE = 1024 * 1024


def answer_of(size: int, request_id: str, member: str = "m1") -> list[Event]:
    """A request up to an answer with so many bytes of text in it."""
    first = submitted(request_id, member=member)
    second = enqueued(first)
    third = scheduled(second)
    fourth = started(third)
    return [first, second, third, fourth, completed(fourth, plan_name="x" * size)]


async def test_an_answer_of_three_mebibytes_reaches_everybody(link: KafkaLink, prefix: str) -> None:
    seen = Seen()
    events = answer_of(3 * MEBIBYTE, "r1")
    async with (
        open_kafka_log(link, prefix, sealer=TenantSealer(b"k" * 32)) as first,
        open_kafka_log(link, prefix, sealer=TenantSealer(b"k" * 32), sinks=[seen]) as second,
    ):
        written = await append(first, *events)
        await append(first, submitted("later"))
        async with asyncio.timeout(30):
            await seen.subject("later")
        assert [one.event for one in await second.read_request(RequestId("r1"))] == events
    async with open_kafka_log(link, prefix, sealer=TenantSealer(b"k" * 32)) as third:
        assert [one.position for one in await third.read_request(RequestId("r1"))] == written


async def test_an_answer_that_is_too_large_for_ever_is_refused_alone(link: KafkaLink, prefix: str) -> None:
    async with open_kafka_log(link, prefix) as log:
        refused, *accepted = await asyncio.gather(
            log.append(answer_of(8 * MEBIBYTE, "large")),
            *(log.append([submitted(f"r{number}", member=f"m{number}")]) for number in range(20)),
            return_exceptions=True,
        )
        assert isinstance(refused, EventTooLarge)
        assert not [one for one in accepted if isinstance(one, BaseException)]
        assert await log.read_request(RequestId("large")) == []


async def test_what_a_topic_no_longer_takes_is_refused_and_what_follows_is_written(
    link: KafkaLink, prefix: str
) -> None:
    async with open_kafka_log(link, prefix) as log:
        await append(log, submitted("before"))
        topic = topic_name(Topic.RTE, prefix)
        async with admin_of(link) as admin:
            less = {"max.message.bytes": str(MEBIBYTE)}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, less)])
        events = answer_of(3 * MEBIBYTE, "r1")
        await append(log, *events[:-1])
        with pytest.raises(EventTooLarge):
            await log.append(events[-1:])
        await append(log, submitted("after"), cancelled(events[-2]))


async def test_while_the_last_look_failed_what_asks_kafka_is_refused_at_once_and_what_is_known_is_told(
    link: KafkaLink, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.kafka.log._LOOK_SECONDS", 0.01)
    monkeypatch.setattr("bus.kafka.log._LOOK_AGAIN_SECONDS", 0.01)
    async with open_kafka_log(link, prefix) as log:
        await append(log, submitted("r1"))
        look = log._observer.look
        failing = True

        async def failed() -> Layout:
            if failing:
                raise LogUnavailable("Kafka does not answer now.")
            return await look()

        async def asked(*_: object) -> None:
            raise AssertionError("Kafka was asked.")

        monkeypatch.setattr(log._observer, "look", failed)
        with monkeypatch.context() as unasked:
            unasked.setattr(log._writer, "write", asked)
            unasked.setattr(log._seeker, "ends", asked)
            await asyncio.sleep(0.1)
            for refused in (log.append([submitted("r2")]), log.append([]), log.ends()):
                with pytest.raises(LogUnavailable, match="does not answer"):
                    await refused
            assert len(await log.read_member(T1, M1, after=0, limit=10)) == 1
        failing = False
        async with asyncio.timeout(10):
            while True:
                try:
                    await log.append([])
                    break
                except LogUnavailable:
                    await asyncio.sleep(0.01)
        await append(log, submitted("r2"))
