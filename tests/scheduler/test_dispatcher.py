"""The dispatcher in virtual time: from an accepted request to exactly one terminal event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bus.errors import LogUnavailable
from bus.events import Cancelled, Downtime, Enqueued, Event, EventType, Priority, Recorded, TimedOut
from bus.failure import FailureKind
from bus.fold import RequestStatus
from bus.ids import PayerId
from bus.memory_log import MemoryLog
from payer.outcome import Outcome
from scheduler.errors import AlreadyFinished
from tests.scheduler.world import (
    LEASE_SECONDS,
    PAYER,
    broken,
    living,
    lost,
    rejection,
    throttled,
    timed_out,
    unreachable,
)
from tests.virtual_time import VirtualClock, run_virtually


class FailingLog(MemoryLog):
    """A log that can be taken away."""

    away = False

    async def append(self, events: Sequence[Event]) -> Sequence[Recorded | None]:
        if self.away:
            raise LogUnavailable("The disk is full.")
        return await super().append(events)


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


def test_an_unreachable_payer_is_tried_again_with_the_next_attempt() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [unreachable(), unreachable()]
            state = await world.submit()
            await world.clock.sleep(110)
            types = await world.types(state)
            assert types.count("enqueued") == 3
            assert types[-1] == "completed"
            assert [event.attempt for event in await world.events(state)][-1] == 3

    run_virtually(main())


def test_retries_end_and_the_failure_says_that_the_payer_is_unavailable() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.seconds = 0.1
            world.payer.script = [unreachable() for _ in range(10)]
            state = await world.submit(deadline_seconds=600)
            await world.clock.sleep(590)
            found = await world.log.get(state.tenant_id, state.request_id)
            assert found is not None
            assert found.status is RequestStatus.FAILED
            assert found.failure is not None
            assert found.failure.kind is FailureKind.PAYER_UNAVAILABLE

    run_virtually(main())


def test_a_rejection_is_final_and_names_the_field() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [rejection()]
            state = await world.submit()
            await world.clock.sleep(10)
            assert (await world.types(state))[-1] == "failed"
            assert len(world.payer.calls) == 1

    run_virtually(main())


def test_a_deadline_that_passes_after_failed_attempts_says_that_and_why_they_failed() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [broken(), unreachable()]
            world.payer.seconds = 10
            tried = await world.submit(deadline_seconds=28)
            await world.clock.sleep(60)
            said = {}
            for event in await world.all_of(EventType.TIMEOUT):
                assert isinstance(event.data, TimedOut)
                said[event.subject] = event.data.failure
            assert said[tried.request_id].code == "DEADLINE"
            assert "2 earlier attempts failed, the last with 42: No answer." in said[tried.request_id].message

    run_virtually(main())


def test_a_deadline_that_passes_in_the_first_attempt_speaks_of_no_others() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.seconds = 60
            await world.submit(deadline_seconds=10)
            await world.clock.sleep(20)
            [event] = await world.all_of(EventType.TIMEOUT)
            assert isinstance(event.data, TimedOut)
            assert "earlier" not in event.data.failure.message

    run_virtually(main())


def test_a_call_that_is_not_proven_over_keeps_its_slot_until_its_lease_ends() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock(), slots=1) as world:
            world.payer.seconds = 10
            world.payer.script = [timed_out()]
            await world.submit(deadline_seconds=10.5)
            await world.clock.sleep(20)
            assert (await world.dispatcher.status()).held == 1
            later = await world.submit(name="Later", deadline_seconds=600)
            await world.clock.sleep(LEASE_SECONDS - 25)
            assert await world.status(later) is RequestStatus.ENQUEUED
            await world.clock.sleep(30)
            assert await world.status(later) is RequestStatus.COMPLETED

    run_virtually(main())


def test_a_payer_going_down_and_coming_back_is_told() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.seconds = 0.1
            world.payer.script = [unreachable() for _ in range(5)]
            for number in range(5):
                await world.submit(name=f"Name{chr(65 + number)}", deadline_seconds=600)
            await world.clock.sleep(300)
            downtimes = [event.data.available for event in await world.all_of(EventType.DOWNTIME)]  # type: ignore[union-attr]
            assert downtimes == [False, True]

    run_virtually(main())


def test_a_fault_of_ours_in_a_call_ends_the_request_all_the_same() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [RuntimeError("bug") for _ in range(10)]
            state = await world.submit(deadline_seconds=600)
            await world.clock.sleep(700)
            assert (await world.status(state)).terminal

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


@pytest.mark.parametrize("outcome", [throttled(), broken()])
def test_what_is_not_the_payers_fault_is_tried_again_and_frees_the_slot(outcome: Outcome) -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [outcome]
            state = await world.submit()
            await world.clock.sleep(60)
            assert (await world.types(state)).count("enqueued") == 2
            assert await world.status(state) is RequestStatus.COMPLETED
            assert (await world.dispatcher.status()).held == 0

    run_virtually(main())


def test_a_lost_connection_keeps_its_slot_and_says_nothing_of_the_payer() -> None:
    async def main() -> None:
        async with living(MemoryLog("epoch"), VirtualClock()) as world:
            world.payer.script = [lost() for _ in range(5)]
            for number in range(5):
                await world.submit(name=f"Name{chr(65 + number)}", deadline_seconds=600)
            await world.clock.sleep(4)
            assert (await world.dispatcher.status()).held >= 5
            assert await world.all_of(EventType.DOWNTIME) == []

    run_virtually(main())


def test_a_retry_joins_a_call_of_the_same_question_that_began_meanwhile() -> None:
    async def main() -> None:
        log = FailingLog("epoch")
        async with living(log, VirtualClock()) as world:
            world.payer.script = [unreachable()]
            first = await world.submit(deadline_seconds=600)
            await world.clock.sleep(1)
            log.away = True
            await world.clock.sleep(10)
            log.away = False
            world.payer.seconds = 60
            await world.submit(deadline_seconds=600)
            await world.clock.sleep(20)
            assert (await world.types(first))[-3:] == ["enqueued", "scheduled", "started"]
            await world.clock.sleep(60)
            assert await world.status(first) is RequestStatus.COMPLETED
            assert len(world.payer.calls) == 2

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


@pytest.mark.parametrize("seconds_lived", [0.0, 0.5, 2.9, 3.1])
def test_after_a_crash_every_request_still_ends_exactly_once(seconds_lived: float) -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, seed=1) as world:
            states = [await world.submit(name=name, deadline_seconds=600) for name in ("A", "B", "C")]
            await clock.sleep(seconds_lived)
        async with living(log, clock, seed=2) as world:
            await clock.sleep(300)
            for state in states:
                types = await world.types(state)
                assert types[-1] == "completed"
                assert sum(name in ("completed", "failed", "timeout", "cancelled") for name in types) == 1

    run_virtually(main())


def test_a_start_counts_the_calls_of_the_life_before_until_their_leases_end() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, slots=2, seed=1) as world:
            world.payer.seconds = 100
            await world.submit(name="A", deadline_seconds=600)
            await world.submit(name="B", deadline_seconds=600)
            await clock.sleep(1)
        async with living(log, clock, slots=2, seed=2) as world:
            await clock.sleep(LEASE_SECONDS - 5)
            assert world.payer.calls == []
            await clock.sleep(10)
            assert len(world.payer.calls) == 2

    run_virtually(main())


def test_a_clock_that_jumped_back_holds_slots_no_longer_than_a_lease() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, slots=1, seed=1) as world:
            world.payer.seconds = 100
            await world.submit(deadline_seconds=600)
            await clock.sleep(1)
        clock.jump_wall(-timedelta(hours=5))
        async with living(log, clock, slots=1, seed=2) as world:
            await clock.sleep(LEASE_SECONDS + 1)
            assert len(world.payer.calls) == 1

    run_virtually(main())


def test_a_payer_that_was_down_is_still_down_after_a_restart() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, seed=1) as world:
            world.payer.seconds = 0.1
            world.payer.script = [unreachable() for _ in range(5)]
            for number in range(5):
                await world.submit(name=f"Name{chr(65 + number)}", deadline_seconds=600)
            await clock.sleep(2)
        async with living(log, clock, seed=2) as world:
            world.payer.seconds = 0.1
            await clock.sleep(20)
            assert world.payer.calls == []
            await clock.sleep(200)
            assert len(world.payer.calls) == 5
            assert [event.data.available for event in await world.all_of(EventType.DOWNTIME)] == [False, True]  # type: ignore[union-attr]

    run_virtually(main())


def test_a_request_whose_deadline_passed_while_the_program_was_down_times_out_at_the_start() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, seed=1) as world:
            world.payer.seconds = 100
            state = await world.submit(deadline_seconds=30)
            await clock.sleep(1)
        await clock.sleep(60)
        async with living(log, clock, seed=2) as world:
            await clock.sleep(0.05)
            assert (await world.types(state))[-1] == "timeout"
            assert world.payer.calls == []

    run_virtually(main())


def test_a_request_that_was_only_submitted_is_queued_by_the_next_life() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, seed=1) as world:
            state = await world.record_submitted()
        async with living(log, clock, seed=2) as world:
            await clock.sleep(10)
            assert await world.types(state) == ["submitted", "enqueued", "scheduled", "started", "completed"]

    run_virtually(main())


def test_a_payer_that_came_back_before_the_restart_is_asked_at_once() -> None:
    async def main() -> None:
        log, clock = MemoryLog("epoch"), VirtualClock()
        async with living(log, clock, seed=1) as world:
            await world.journal.note(PAYER, Downtime(payer_id=PAYER, available=False, since=clock.now()))
            await world.journal.note(PAYER, Downtime(payer_id=PAYER, available=True, since=clock.now()))
        async with living(log, clock, seed=2) as world:
            await world.submit()
            await clock.sleep(1)
            assert len(world.payer.calls) == 1

    run_virtually(main())
