"""Bar 24: whatever the order in which answers arrive, and however often the process starts, no older one is given."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from bus.coverage import Coverage
from bus.events import Completed, Event, Recorded
from bus.ids import CallId, EventId, MemberId, PayerId
from tests.warming.answers import ACME, NOON, answer
from warming.sqlite_cache import SqliteCache
from warming.view import CoverageView

KEYS = ("q1", "q2", "q3")


class StaleSet(RuleBasedStateMachine):
    """Calls end in any order, the log's reader repeats itself, restarts: against a dict that keeps the newest."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.log: list[Recorded] = []
        self.newest: dict[str, Coverage] = {}
        self.taken = 0
        self.open()

    def open(self) -> None:
        path = Path(self.folder.name) / "views.sqlite3"
        self.cache = self.runner.run(SqliteCache.open(path, epoch="log-1", hot_capacity=2))

    @rule(key=st.sampled_from(KEYS), seconds=st.integers(0, 5))
    def a_call_ends(self, key: str, seconds: int) -> None:
        """Its answer was obtained at any time before: completions are recorded out of order."""
        position = len(self.log) + 1
        coverage = answer(seconds, request=f"r{position}")
        data = Completed(payer_id=PayerId("60054"), call_id=CallId("c"), question_key=key, coverage=coverage)
        event = Event(
            id=EventId(str(position)),
            source="/test",
            subject=coverage.request_id,
            time=NOON,
            data=data,
            tenant_id=ACME,
            member_id=MemberId("m-1"),
            sequence=5,
        )
        self.log.append(Recorded(position=position, event=event))

    @rule(limit=st.integers(1, 4))
    def the_reader_goes_on(self, limit: int) -> None:
        batch = self.log[self.taken : self.taken + limit]
        self.runner.run(CoverageView(self.cache).take(batch))
        for recorded in batch:
            self.remember(recorded)
        self.taken += len(batch)

    @rule(data=st.data())
    def an_answer_is_put_before_the_reader_comes_to_it(self, data: st.DataObject) -> None:
        """As a worker may that has it in hand; the reader puts it again later."""
        ahead = self.log[self.taken :]
        if ahead:
            recorded = data.draw(st.sampled_from(ahead))
            completed = recorded.event.data
            assert isinstance(completed, Completed)
            held = self.newest.get(completed.question_key)
            if held is None or held.obtained_at != completed.coverage.obtained_at:
                self.runner.run(self.cache.put(ACME, completed.question_key, completed.coverage))
                self.remember(recorded)

    @rule()
    def the_process_ends_and_starts_again(self) -> None:
        self.runner.run(self.cache.close())
        self.open()
        assert self.runner.run(self.cache.position()) == self.taken

    @rule(back=st.integers(1, 6))
    def the_reader_repeats_itself(self, back: int) -> None:
        batch = self.log[max(self.taken - back, 0) : self.taken]
        self.runner.run(CoverageView(self.cache).take(batch))
        for recorded in batch:
            self.remember(recorded)

    def remember(self, recorded: Recorded) -> None:
        data = recorded.event.data
        assert isinstance(data, Completed)
        held = self.newest.get(data.question_key)
        if held is None or data.coverage.obtained_at >= held.obtained_at:
            self.newest[data.question_key] = data.coverage

    @invariant()
    def the_newest_answer_is_given(self) -> None:
        for key in KEYS:
            assert self.runner.run(self.cache.get(ACME, key)) == self.newest.get(key)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.cache.close())
            self.runner.close()
            self.folder.cleanup()


@pytest.mark.unmeasured  # it draws its steps
def test_bar_24_an_older_answer_never_overwrites_a_newer_one() -> None:
    run_state_machine_as_test(StaleSet, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
