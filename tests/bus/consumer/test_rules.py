"""The small rules: retries, the limit on dead letters, duplicates, due times, the watchdog, names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.consumer.due import DueQueue
from bus.consumer.errors import Rejected
from bus.consumer.names import GroupTopics, group_topics_of
from bus.consumer.record import Partition, Standing
from bus.consumer.retries import Again, GiveUp, Later, Retries
from bus.consumer.seen import Seen, name_of
from bus.consumer.stop_rule import DeadLetterLimit, StopReason, StopRule
from bus.consumer.watchdog import Watchdog
from bus.ids import EventId

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
P = Partition("rte.events", 0)


def test_attempts_in_place_come_before_those_through_topics_and_then_it_is_a_dead_letter() -> None:
    retries = Retries(in_place=(0.1, 1), topics=(5, 60))
    steps = [retries.after(attempt) for attempt in range(1, retries.attempts + 1)]
    assert steps == [Again(0.1), Again(1), Later(5), Later(60), GiveUp()]


@pytest.mark.parametrize("given", [{"in_place": (-1.0,)}, {"topics": (0,)}, {"topics": (5, 5)}, {"topics": (60, 5)}])
def test_delays_that_make_no_sense_are_refused(given: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="delay"):
        Retries(**given)


@given(
    st.lists(st.booleans(), max_size=300),
    st.builds(
        DeadLetterLimit,
        share=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
        window=st.integers(10, 50),
        minimum=st.integers(1, 10),
        in_a_row=st.integers(1, 20),
    ),
)
def test_dead_letters_never_exceed_the_limit_and_are_refused_only_there(
    failures: list[bool], limit: DeadLetterLimit
) -> None:
    rule = StopRule(limit)
    ended: list[bool] = []
    for fails in failures:
        if not fails:
            rule.handled()
            ended.append(False)
            continue
        reason = rule.bury()
        would = [*ended, True][-limit.window :]
        row = next((place for place, dead in enumerate(reversed([*ended, True])) if not dead), len(ended) + 1)
        if row >= limit.in_a_row:
            assert reason is StopReason.IN_A_ROW
        elif len(would) >= limit.minimum and sum(would) > limit.share * len(would):
            assert reason is StopReason.SHARE
        else:
            assert reason is None
            ended.append(True)


def test_somebody_who_looked_lets_it_go_on() -> None:
    rule = StopRule(DeadLetterLimit(in_a_row=1))
    assert rule.bury() is StopReason.IN_A_ROW
    rule = StopRule(DeadLetterLimit(in_a_row=2))
    assert rule.bury() is None
    assert rule.bury() is StopReason.IN_A_ROW
    rule.forget()
    assert rule.bury() is None


@given(st.lists(st.integers(0, 20)), st.integers(1, 10))
def test_the_latest_ids_are_remembered_and_no_more(ids: list[int], capacity: int) -> None:
    seen, order = Seen(capacity), list[int]()
    for each in ids:
        name = name_of("source", EventId(str(each)))
        assert (name in seen) == (each in order[-capacity:])
        if name not in seen:
            seen.add(name)
            order.append(each)


def test_an_id_of_another_source_is_another_event() -> None:
    assert name_of("one", EventId("1")) != name_of("other", EventId("1"))
    assert name_of("on", EventId("e1")) != name_of("one", EventId("1"))


@given(st.lists(st.integers(0, 50)), st.lists(st.integers(0, 60)))
def test_nothing_is_taken_before_it_is_due_and_everything_after(dues: list[int], looks: list[int]) -> None:
    queue: DueQueue[int] = DueQueue()
    for due in dues:
        queue.add(NOON + timedelta(seconds=due), due)
    waiting = sorted(dues)
    for now in sorted(looks):
        while (item := queue.take(NOON + timedelta(seconds=now))) is not None:
            assert item <= now
            assert item == waiting.pop(0)
        assert not waiting or waiting[0] > now
        assert queue.next_due == (NOON + timedelta(seconds=waiting[0]) if waiting else None)


def behind(position: int | None, end: int = 10) -> dict[Partition, Standing]:
    return {P: Standing(position=position, end=end)}


def test_a_partition_that_stands_still_behind_its_end_is_stalled() -> None:
    watchdog = Watchdog(30)
    assert not watchdog.stalled(0, behind(5))
    assert not watchdog.stalled(29, behind(5, end=12))
    assert watchdog.stalled(30, behind(5, end=13)) == {P}


@pytest.mark.parametrize("meanwhile", [behind(6), behind(10), {}], ids=["moved", "at the end", "paused or gone"])
def test_a_partition_that_moves_or_has_nothing_to_read_is_not_stalled(meanwhile: dict[Partition, Standing]) -> None:
    watchdog = Watchdog(30)
    watchdog.stalled(0, behind(5))
    watchdog.stalled(20, meanwhile)
    assert not watchdog.stalled(49, behind(5))


def test_a_client_that_cannot_tell_its_position_is_stalled() -> None:
    watchdog = Watchdog(30)
    watchdog.stalled(0, behind(None))
    assert watchdog.stalled(31, behind(None)) == {P}


def test_a_groups_topics_are_told_from_those_of_others() -> None:
    topics = GroupTopics("x.rte.events", "letters-2")
    assert topics.all((5, 60)) == (
        "x.rte.events.letters-2.0s.retry",
        "x.rte.events.letters-2.5s.retry",
        "x.rte.events.letters-2.60s.retry",
        "x.rte.events.letters-2.dlq",
    )
    assert group_topics_of(topics.dead) == topics
    assert group_topics_of(topics.retry(5)) is None
    assert group_topics_of("rte.events") is None


@pytest.mark.parametrize("group", ["", "Upper", "a.b", "a" * 64, "-a"])
def test_a_group_that_topics_cannot_bear_is_refused(group: str) -> None:
    with pytest.raises(ValueError, match="63 small letters"):
        GroupTopics("rte.events", group)


@pytest.mark.parametrize("code", ["", "two words", "a" * 65, "Müller"])
def test_a_rejection_takes_no_free_text(code: str) -> None:
    with pytest.raises(ValueError, match="64"):
        Rejected(code)
