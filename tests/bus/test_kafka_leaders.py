"""A reader whose brokers fail, lose partitions, and say nothing; real brokers do so in test_kafka_outages.py."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError
from structlog.testing import capture_logs

from bus.kafka.records import Place
from bus.metrics import Metrics
from tests.bus.scripted_brokers import Brokers, place
from tests.virtual_time import run_virtually


def failures(metrics: Metrics, error: str) -> float:
    return metrics.registry.get_sample_value("covey_reader_broker_failures_total", {"error": error}) or 0


def restarts(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("covey_reader_restarts_total", {"topic": "rte.events"}) or 0


@pytest.mark.parametrize("named", [True, False])
def test_one_partition_that_does_not_move_is_noticed_while_others_do(
    named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        brokers, metrics = Brokers({0: 1, 1: 2}), Metrics()
        brokers.silent, brokers.naming_silent = {1}, named
        async with brokers.reader(monkeypatch, metrics) as reader:
            for _ in range(150):
                brokers.written[0] += 1
                brokers.written[1] += 1
                await asyncio.sleep(0.1)
            assert reader.stalled_seconds > 10
            assert restarts(metrics) == 1
            brokers.silent = set()
            await asyncio.sleep(2)
            assert restarts(metrics) == 1
            assert reader.positions == await brokers.ends()
            assert await reader.caught_up()
            assert reader.stalled_seconds == 0

    run_virtually(main())


def test_a_reader_that_moves_slowly_everywhere_is_not_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        brokers, metrics = Brokers({0: 1, 1: 1}), Metrics()
        brokers.silent = {0, 1}
        async with brokers.reader(monkeypatch, metrics) as reader:
            for _ in range(20):
                for number in (0, 1):
                    brokers.written = {each: count + 1 for each, count in brokers.written.items()}
                    brokers.silent = {0, 1} - {number}
                    await asyncio.sleep(3)
            assert restarts(metrics) == 0
            assert not await reader.caught_up()

    run_virtually(main())


def test_who_waited_longest_is_asked_for_first_by_a_reader_that_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        brokers = Brokers(dict.fromkeys(range(20), 1))
        brokers.silent = {7}
        async with brokers.reader(monkeypatch, Metrics()):
            for _ in range(150):
                brokers.written = {number: count + 1 for number, count in brokers.written.items()}
                await asyncio.sleep(0.1)
            first, again = brokers.sessions
            assert sorted(first) == sorted(again)
            assert again[0] == 7

    run_virtually(main())


def test_what_metadata_says_counts_though_the_old_leader_goes_on_answering(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        brokers, metrics = Brokers({0: 1, 1: 1}), Metrics()
        brokers.cut_off = {1}
        async with brokers.reader(monkeypatch, metrics, stall_seconds=1_000) as reader:
            await asyncio.sleep(1)
            brokers.leaders[1] = 2
            brokers.written[1] = 5
            await asyncio.sleep(3)
            assert reader.positions[place(1)] == 5
            assert brokers.clients == 1

    run_virtually(main())


def test_what_is_being_taken_when_its_leader_moves_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        brokers = Brokers({0: 1, 1: 1})
        brokers.take_seconds = 3
        async with brokers.reader(monkeypatch, Metrics(), check_seconds=1) as reader:
            await asyncio.sleep(1)
            brokers.written = {0: 5, 1: 5}
            await asyncio.sleep(1)
            brokers.leaders[1] = 2
            await asyncio.sleep(10)
            assert sorted(brokers.taken) == [(place(0), 5), (place(1), 5)]
            assert reader.positions == await brokers.ends()

    run_virtually(main())


def test_a_partition_without_a_known_leader_is_read_on_from_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        brokers = Brokers({0: 1})
        async with brokers.reader(monkeypatch, Metrics()) as reader:
            await asyncio.sleep(1)
            brokers.told = {}
            await asyncio.sleep(5)
            brokers.written[0] = 5
            await asyncio.sleep(1)
            assert reader.positions[place(0)] == 5
            assert len(brokers.sessions) == 1

    run_virtually(main())


def test_a_leader_that_moved_costs_no_rest_and_the_others_of_its_broker_none_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        brokers, metrics = Brokers({0: 1, 1: 1}), Metrics()
        with capture_logs() as logs:
            async with brokers.reader(monkeypatch, metrics) as reader:
                await asyncio.sleep(1)
                brokers.told = dict(brokers.leaders)
                brokers.leaders[1] = 2  # metadata does not say so yet
                await asyncio.sleep(10)
                asked_in_vain = [fetch for fetch in brokers.fetches if fetch == (1, frozenset({0, 1}))]
                assert len(asked_in_vain) < 25
                brokers.written = {0: 5, 1: 5}
                await asyncio.sleep(0.6)
                assert reader.positions[place(0)] == 5
                before = brokers.refreshes
                brokers.told = brokers.leaders
                await asyncio.sleep(0.2)
                assert reader.positions[place(1)] == 5
                await asyncio.sleep(10)
                assert brokers.refreshes <= before + 1
        assert metrics.registry.get_sample_value("covey_reader_broker_failures_total") is None
        assert logs == []

    run_virtually(main())


def test_a_broker_that_fails_rests_for_longer_and_longer_and_is_told_of_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        brokers, metrics = Brokers({0: 1, 1: 2}), Metrics()
        with capture_logs() as logs:
            async with brokers.reader(monkeypatch, metrics) as reader:
                brokers.failing = {2: KafkaConnectionError("Ana Rivera")}
                for _ in range(600):
                    brokers.written[0] += 1
                    await asyncio.sleep(0.1)
                    assert brokers.written[0] - reader.positions[place(0)] < 10
                assert 20 <= failures(metrics, "KafkaConnectionError") <= 40
                assert brokers.refreshes < 200
                assert [line["event"] for line in logs] == ["kafka_broker_left_alone"]
                brokers.failing, brokers.written[1] = {}, 5
                await asyncio.sleep(6)
                assert reader.positions[place(1)] == 5
                brokers.failing = {2: TimeoutError()}
                await asyncio.sleep(1)
                assert failures(metrics, "TimeoutError") > 1  # the pause begins small again
        told = ["kafka_broker_left_alone", "kafka_broker_read_again", "kafka_broker_left_alone"]
        assert [line["event"] for line in logs] == told
        assert "Rivera" not in str(logs)
        assert restarts(metrics) == 0

    run_virtually(main())


def test_what_is_out_of_range_goes_on_where_there_is_something_and_the_rest_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        brokers, metrics = Brokers({0: 1, 1: 2}), Metrics()
        ends = brokers.ends

        async def slow_ends() -> Mapping[Place, int]:
            told = await ends()
            brokers.written[1] += 1_000
            brokers.failing, brokers.silent = {}, set()
            await asyncio.sleep(1)  # the other broker is read meanwhile, past what is told here
            return told

        with capture_logs() as logs:
            async with brokers.reader(monkeypatch, metrics, check_seconds=1_000) as reader:
                brokers.written = {0: 100, 1: 100}
                await asyncio.sleep(1)
                brokers.written[0] = brokers.deleted[0] = 500
                brokers.written[1], brokers.deleted[1], brokers.silent = 200, 150, {1}
                monkeypatch.setattr(brokers, "ends", slow_ends)
                brokers.failing = {1: OffsetOutOfRangeError()}
                await asyncio.sleep(3)
                assert reader.positions == {place(0): 500, place(1): 1_200}
        assert [(line["event"], line["position"], line["going_on_at"]) for line in logs] == [("events lost", 100, 500)]

    run_virtually(main())


def test_out_of_range_of_what_is_there_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        brokers, metrics = Brokers({0: 1}), Metrics()
        brokers.failing = {1: OffsetOutOfRangeError()}
        async with brokers.reader(monkeypatch, metrics) as reader:
            await asyncio.sleep(60)
            assert len(brokers.fetches) < 40
            assert failures(metrics, "OffsetOutOfRangeError") > 1
            assert reader.positions == {place(0): 0}

    run_virtually(main())


def test_the_watchdog_outlives_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        brokers, metrics = Brokers({0: 1}), Metrics()
        brokers.silent = {0}
        with capture_logs() as logs:
            async with brokers.reader(monkeypatch, metrics):
                brokers.ends_error = KeyError("Ana Rivera")
                await asyncio.sleep(5)
                brokers.ends_error, brokers.written[0] = None, 5
                await asyncio.sleep(14)
        assert metrics.registry.get_sample_value("covey_internal_errors_total", {"where": "kafka reader"}) == 2
        assert metrics.registry.get_sample_value("covey_reader_lag_events", {"topic": "rte.events"}) == 5
        assert restarts(metrics) == 1
        assert "Rivera" not in str(logs)

    run_virtually(main())
