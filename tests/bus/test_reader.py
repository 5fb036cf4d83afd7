from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from bus.errors import LogUnavailable
from bus.events import Recorded, Topic
from bus.metrics import Metrics
from bus.reader import Reader, Sink
from tests.bus.conftest import downtime, submitted
from tests.bus.keeping_log import KeepingLog
from tests.virtual_time import VirtualClock, run_virtually


class _Taken:
    """A sink that keeps what it takes, and fails as often as it is told."""

    def __init__(self, *, failures: int = 0, others: Sequence[_Taken] = ()) -> None:
        self.positions: list[int] = []
        self.others_had: list[list[int]] = []
        self._failures = failures
        self._others = others

    async def take(self, batch: Sequence[Recorded]) -> None:
        if self._failures:
            self._failures -= 1
            raise ValueError("Ana Rivera")
        self.others_had.append([position for other in self._others for position in other.positions])
        self.positions += [recorded.position for recorded in batch]


class _Blocked:
    async def take(self, batch: Sequence[Recorded]) -> None:
        await asyncio.Event().wait()


class _Harness:
    """A log with a reader that is not entered yet."""

    def __init__(self, *sinks: Sink, log: KeepingLog | None = None, start_after: int = 0) -> None:
        self.log = log or KeepingLog()
        self.metrics = Metrics()
        self.clock = VirtualClock()
        self.reader = Reader(self.log, Topic.RTE, sinks, self.metrics, self.clock, start_after=start_after)

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"topic": "rte.events"})


def _write(log: KeepingLog, count: int) -> None:
    log.write(*(submitted(f"r{number}") for number in range(count)))


def test_every_event_of_the_topic_is_taken_once_in_order() -> None:
    async def main() -> None:
        sink = _Taken()
        harness = _Harness(sink)
        _write(harness.log, 600)
        async with harness.reader:
            await harness.clock.sleep(1)
            harness.log.write(downtime(), submitted("later"))
            await harness.clock.sleep(1)
        assert sink.positions == [*range(1, 601), 602]
        assert harness.reader.position == 602

    run_virtually(main())


def test_batches_are_large_while_it_is_far_behind_and_small_again_behind_that() -> None:
    class Sizes:
        def __init__(self) -> None:
            self.taken: list[int] = []

        async def take(self, batch: Sequence[Recorded]) -> None:
            self.taken.append(len(batch))

    async def main() -> None:
        sizes = Sizes()
        harness = _Harness(sizes)
        one = submitted("r")
        harness.log.write(*[one] * 18_000)
        async with harness.reader:
            while not await harness.reader.caught_up():
                await harness.clock.sleep(1)
        assert sum(sizes.taken) == 18_000
        assert sizes.taken[:2] == [1_024, 1_024]  # then it is no more than 16,384 behind
        assert set(sizes.taken[2:-1]) == {256}

    run_virtually(main())


def test_a_reader_starts_behind_what_its_sinks_know() -> None:
    async def main() -> None:
        sink = _Taken()
        harness = _Harness(sink, start_after=3)
        _write(harness.log, 5)
        async with harness.reader:
            await harness.clock.sleep(1)
        assert sink.positions == [4, 5]

    run_virtually(main())


def test_sinks_are_served_one_after_the_other() -> None:
    async def main() -> None:
        view = _Taken()
        fanout = _Taken(others=[view])
        harness = _Harness(view, fanout)
        _write(harness.log, 2)
        async with harness.reader:
            await harness.clock.sleep(1)
        assert fanout.others_had == [[1, 2]]

    run_virtually(main())


def test_a_failing_sink_is_logged_counted_and_given_the_same_events_again() -> None:
    async def main() -> None:
        sink = _Taken(failures=3)
        harness = _Harness(sink)
        _write(harness.log, 2)
        with capture_logs() as logs:
            async with harness.reader:
                await harness.clock.sleep(60)
        assert sink.positions == [1, 2]
        assert harness.metric("covey_reader_restarts_total") == 3
        assert [entry["retry_seconds"] for entry in logs] == [0.1, 0.2, 0.4]
        assert logs[0] == {
            "event": "reader failed",
            "log_level": "error",
            "topic": "rte.events",
            "position": 0,
            "error": "ValueError",
            "retry_seconds": 0.1,
        }

    run_virtually(main())


def test_the_pause_between_tries_grows_to_a_bound_and_shrinks_after_a_success() -> None:
    async def main() -> None:
        sink = _Taken(failures=10)
        harness = _Harness(sink)
        _write(harness.log, 1)
        with capture_logs() as logs:
            async with harness.reader:
                await harness.clock.sleep(600)
                sink._failures = 1
                _write(harness.log, 1)
                await harness.clock.sleep(600)
        assert max(entry["retry_seconds"] for entry in logs) == logs[-2]["retry_seconds"] == 5.0
        assert logs[-1]["retry_seconds"] == 0.1
        assert sink.positions == [1, 2]

    run_virtually(main())


def test_a_log_that_cannot_be_read_is_tried_again() -> None:
    async def main() -> None:
        failing = True

        async def pause() -> None:
            if failing:
                raise LogUnavailable("The disk is away.")

        sink = _Taken()
        harness = _Harness(sink, log=KeepingLog(pause))
        _write(harness.log, 1)
        async with harness.reader:
            with capture_logs():
                await harness.clock.sleep(3)
            failing = False
            await harness.clock.sleep(10)
            assert sink.positions == [1]

    run_virtually(main())


def test_caught_up_and_the_lag_follow_the_topic() -> None:
    async def main() -> None:
        harness = _Harness(_Taken())
        assert await harness.reader.caught_up()
        _write(harness.log, 5)
        assert not await harness.reader.caught_up()
        assert harness.metric("covey_reader_lag_events") == 5
        async with harness.reader:
            await harness.clock.sleep(1)
            assert await harness.reader.caught_up()
        assert harness.metric("covey_reader_lag_events") == 0

    run_virtually(main())


def test_events_that_were_deleted_unread_do_not_keep_a_reader_behind() -> None:
    async def main() -> None:
        sink = _Taken()
        harness = _Harness(sink)
        _write(harness.log, 5)
        harness.log.delete_through(Topic.RTE, 5)
        async with harness.reader:
            await harness.clock.sleep(1)
            assert await harness.reader.caught_up()
            _write(harness.log, 1)
            await harness.clock.sleep(1)
        assert sink.positions == [6]

    run_virtually(main())


def test_the_watchdog_counts_from_when_there_was_something_to_take() -> None:
    async def main() -> None:
        harness = _Harness(_Taken(), _Blocked())
        async with harness.reader:
            await harness.clock.sleep(3600)
            assert harness.reader.stalled_seconds == 0
            _write(harness.log, 1)
            await harness.clock.sleep(7)
            assert harness.reader.stalled_seconds == pytest.approx(7)
            assert harness.reader.position == 0

    run_virtually(main())


def test_the_watchdog_sees_an_end_that_moved_though_the_reader_was_not_told() -> None:
    async def main() -> None:
        harness = _Harness(_Taken())  # not entered: as good as dead
        assert await harness.reader.caught_up()
        _write(harness.log, 1)
        assert not await harness.reader.caught_up()
        await harness.clock.sleep(9)
        assert not await harness.reader.caught_up()
        assert harness.reader.stalled_seconds == pytest.approx(9)

    run_virtually(main())


def test_progress_starts_the_watchdog_afresh() -> None:
    async def main() -> None:
        sink = _Taken(failures=1_000)
        harness = _Harness(sink)
        with capture_logs():
            async with harness.reader:
                _write(harness.log, 1)
                await harness.clock.sleep(100)
                assert harness.reader.stalled_seconds > 99
                sink._failures = 0
                await harness.clock.sleep(10)
                assert harness.reader.stalled_seconds == 0

    run_virtually(main())


def test_slow_progress_is_not_a_stall() -> None:
    async def main() -> None:
        class Slow:
            async def take(self, batch: Sequence[Recorded]) -> None:
                await harness.clock.sleep(10)

        harness = _Harness(Slow())
        _write(harness.log, 1000)
        async with harness.reader:
            await harness.clock.sleep(35)
            assert not await harness.reader.caught_up()
            assert harness.reader.stalled_seconds == pytest.approx(5)

    run_virtually(main())


def test_a_reader_that_is_left_has_no_task_any_more() -> None:
    async def main() -> None:
        harness = _Harness(_Taken())
        async with harness.reader:
            await harness.clock.sleep(1)
            assert "reader rte.events" in {task.get_name() for task in asyncio.all_tasks()}
        assert len(asyncio.all_tasks()) == 1
        async with _Harness().reader:
            pass

    run_virtually(main())
