"""The dispatcher in virtual time: from an accepted request to exactly one terminal event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bus.errors import LogUnavailable
from bus.events import Cancelled, Enqueued, Event, EventType, Priority, Recorded
from bus.fold import RequestStatus
from bus.ids import PayerId
from bus.memory_log import MemoryLog
from scheduler.errors import AlreadyFinished
from tests.scheduler.world import (
    living,
    unreachable,
)
from tests.virtual_time import VirtualClock, run_virtually


class FailingLog(MemoryLog):
    """A log that can be taken away."""

    away = False

    async def append(self, events: Sequence[Event], *, ids_are_new: bool = False) -> Sequence[Recorded | None]:
        if self.away:
            raise LogUnavailable("The disk is full.")
        return await super().append(events, ids_are_new=ids_are_new)


def test_a_request_goes_through_every_step_to_its_answer() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            state = await world.submit()
            assert state.status is RequestStatus.ENQUEUED
            assert state.queue_position == 1
            await world.clock.sleep(10)
            assert await world.types(state) == ["submitted", "enqueued", "scheduled", "started", "completed"]
            assert [event.sequence for event in await world.events(state)] == [1, 2, 3, 4, 5]
            assert len(world.journal) == 0

    run_virtually(main())


def test_the_end_of_a_request_is_logged_by_its_id() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            with capture_logs() as lines:
                state = await world.submit()
                await world.clock.sleep(10)
        ended = {"event": "request_ended", "log_level": "info", "by": "rte.completed", "attempt": 1}
        assert lines == [{**ended, "request_id": state.request_id}]

    run_virtually(main())


def test_identical_questions_are_one_call_with_events_for_each() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            first = await world.submit()
            await world.clock.sleep(1)
            second = await world.submit()
            await world.clock.sleep(10)
            assert len(world.payer.calls) == 1
            for state in (first, second):
                assert await world.types(state) == ["submitted", "enqueued", "scheduled", "started", "completed"]
            completed = await world.all_of(EventType.COMPLETED)
            assert len({event.data.coverage.request_id for event in completed}) == 1  # type: ignore[union-attr]

    run_virtually(main())


def test_cancelling_answers_at_once_and_the_call_runs_on_to_an_answered_event() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            state = await world.submit()
            await world.clock.sleep(1)
            before = world.clock.monotonic()
            cancelled = await world.dispatcher.cancel(state)
            assert cancelled.status is RequestStatus.CANCELLED
            assert world.clock.monotonic() == before
            assert (await world.dispatcher.status()).held == 1
            await world.clock.sleep(10)
            assert await world.types(state) == ["submitted", "enqueued", "scheduled", "started", "cancelled"]
            (answered,) = await world.all_of(EventType.ANSWERED)
            assert answered.data.coverage is not None  # type: ignore[union-attr]
            assert (await world.dispatcher.status()).held == 0
            with pytest.raises(AlreadyFinished):
                await world.dispatcher.cancel(state)
            with pytest.raises(AlreadyFinished):
                await world.dispatcher.cancel(cancelled)

    run_virtually(main())


def test_a_leader_that_cancels_leaves_its_followers_their_answer() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            leader = await world.submit()
            follower = await world.submit()
            await world.clock.sleep(1)
            await world.dispatcher.cancel(leader)
            await world.clock.sleep(10)
            assert await world.status(follower) is RequestStatus.COMPLETED
            assert len(world.payer.calls) == 1
            assert await world.all_of(EventType.ANSWERED) == []

    run_virtually(main())


def test_a_cancelled_request_that_waits_is_never_called() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), slots=1) as world:
            await world.submit(name="First")
            waiting = await world.submit(name="Second")
            await world.dispatcher.cancel(waiting)
            await world.clock.sleep(30)
            assert len(world.payer.calls) == 1

    run_virtually(main())


def test_an_expired_waiter_hears_of_it_at_its_deadline() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.seconds = 60
            state = await world.submit(deadline_seconds=7)
            await world.clock.sleep(8)
            last = (await world.events(state))[-1]
            assert last.type is EventType.TIMEOUT
            late = last.time - state.deadline
            assert timedelta(0) <= late <= timedelta(milliseconds=50)
            await world.clock.sleep(100)
            assert len(await world.all_of(EventType.ANSWERED)) == 1

    run_virtually(main())


def test_while_the_log_is_away_no_call_starts_and_what_was_accepted_is_done_when_it_is_back() -> None:
    async def main() -> None:
        log = FailingLog("epoch")
        async with living(log, VirtualClock()) as world:
            state = await world.record_submitted(deadline_seconds=600)
            log.away = True
            accepted = await world.dispatcher.accept(state)
            assert accepted.status is RequestStatus.SUBMITTED
            await world.clock.sleep(60)
            assert world.payer.calls == []
            with pytest.raises(LogUnavailable):
                await world.dispatcher.cancel(state)
            log.away = False
            await world.clock.sleep(60)
            assert await world.status(state) is RequestStatus.COMPLETED

    run_virtually(main())


def test_a_grant_that_cannot_be_recorded_is_given_back_and_tried_again() -> None:
    async def main() -> None:
        log = FailingLog("epoch")
        async with living(log, VirtualClock(), slots=1) as world:
            await world.submit(name="First", deadline_seconds=600)
            second = await world.submit(name="Second", deadline_seconds=600)
            await world.clock.sleep(1)
            log.away = True
            await world.clock.sleep(60)
            assert len(world.payer.calls) == 1
            log.away = False
            await world.clock.sleep(60)
            assert await world.status(second) is RequestStatus.COMPLETED

    run_virtually(main())


def test_an_outcome_that_cannot_be_recorded_is_kept_until_it_can() -> None:
    async def main() -> None:
        log = FailingLog("epoch")
        async with living(log, VirtualClock()) as world:
            state = await world.submit(deadline_seconds=600)
            await world.clock.sleep(1)
            log.away = True
            await world.clock.sleep(30)
            log.away = False
            await world.clock.sleep(30)
            assert await world.status(state) is RequestStatus.COMPLETED
            assert len(world.payer.calls) == 1

    run_virtually(main())


def test_draining_starts_no_call_and_waits_for_those_under_way() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            state = await world.submit()
            await world.clock.sleep(1)
            assert await world.worker.drain(30) == 0
            assert await world.status(state) is RequestStatus.COMPLETED
            late = await world.submit(name="Late")
            await world.clock.sleep(10)
            assert await world.status(late) is RequestStatus.ENQUEUED

    run_virtually(main())


def test_draining_says_how_many_calls_outlast_its_budget() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.seconds = 100
            await world.submit()
            await world.clock.sleep(1)
            assert await world.worker.drain(5) == 1

    run_virtually(main())


def test_two_hundred_requests_of_many_tenants_never_exceed_the_slots() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            states = [
                await world.submit(
                    payer_id=PayerId(f"P{number % 7}"),
                    member=f"m-{number}",
                    deadline_seconds=600,
                    priority=list(Priority)[number % 3],
                )
                for number in range(200)
            ]
            await world.clock.sleep(500)
            assert {await world.status(state) for state in states} == {RequestStatus.COMPLETED}
            assert world.payer.most_in_flight == 15

    run_virtually(main())


def test_a_request_cancelled_before_it_could_be_queued_is_not_queued() -> None:
    async def main() -> None:
        log = FailingLog("epoch")
        async with living(log, VirtualClock()) as world:
            state = await world.record_submitted(deadline_seconds=600)
            log.away = True
            await world.dispatcher.accept(state)
            log.away = False
            await world.dispatcher.cancel(state)
            await world.clock.sleep(60)
            assert await world.types(state) == ["submitted", "cancelled"]
            assert world.payer.calls == []

    run_virtually(main())


def test_an_ending_is_written_behind_what_another_writer_wrote_first() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            state = await world.submit()
            await world.clock.sleep(1)
            await world.write_as_another(state, Enqueued(payer_id=state.payer_id, cause=unreachable().failure))
            cancelled = await world.dispatcher.cancel(state)
            assert cancelled.status is RequestStatus.CANCELLED
            assert cancelled.sequence == 6

    run_virtually(main())


def test_a_request_that_another_writer_ended_is_not_called() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), slots=1) as world:
            await world.submit(name="First")
            state = await world.submit(name="Second")
            await world.write_as_another(state, Cancelled(payer_id=state.payer_id))
            with pytest.raises(AlreadyFinished):
                await world.dispatcher.cancel(state)
            await world.clock.sleep(30)
            assert len(world.payer.calls) == 1

    run_virtually(main())


def test_a_fault_of_ours_around_a_call_is_counted_and_the_dispatcher_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            with monkeypatch.context() as patched:
                patched.setattr(world.admission, "settle", broken_settle)
                await world.submit(name="First")
                await world.clock.sleep(10)
            assert world.metrics.internal_errors.labels("scheduler")._value.get() == 1
            second = await world.submit(name="Second")
            await world.clock.sleep(10)
            assert await world.status(second) is RequestStatus.COMPLETED

    async def broken_settle(*_: object) -> None:
        raise RuntimeError("bug")

    run_virtually(main())


# Recovery: the same log, another life.
