"""The tail answers from memory exactly what the log holds, or says that it cannot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.ends import Ends
from bus.events import Event, Recorded, Topic
from bus.ids import RequestId
from bus.tail import Tail
from tests.bus.conftest import answered, downtime, enqueued, submitted


def numbered(events: list[Event], first: int = 1) -> list[Recorded]:
    return [Recorded(position=position, event=event) for position, event in enumerate(events, start=first)]


def some_events(count: int) -> list[Event]:
    """Requests of two events each, ends of calls, and payers going down."""
    events: list[Event] = []
    for number in range(count):
        first = submitted(f"r{number}")
        events += [first, answered(f"c{number}"), enqueued(first), downtime(f"p{number}")]
    return events[:count]


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 100)), max_size=12),
    st.integers(0, 10),
    st.integers(0, 300),
    st.integers(0, 40),
    st.integers(0, 50),
)
def test_it_agrees_with_a_list_and_keeps_its_bounds(
    groups: list[tuple[int, int]], max_events: int, max_bytes: int, forgotten: int, after: int
) -> None:
    tail = Tail(Ends({}), max_events=max_events, max_bytes=max_bytes)
    history = numbered(some_events(sum(count for count, _ in groups)))
    written = 0
    for count, size in groups:
        tail.extend(history[written : written + count], [size] * count)
        written += count
    tail.forget(Topic.RTE, forgotten)
    for topic in Topic:
        of_topic = [one for one in history if one.event.topic is topic]
        read = tail.read(topic, after=after, limit=3)
        assert read is None or read == [one for one in of_topic if one.position > after][:3]
        held = tail._topics[topic]
        assert len(held.events) <= max_events and sum(held._sizes) <= max_bytes
        assert held.events == [one for one in of_topic if one.position > held.start]
    for one in history:
        request = tail.read_request(RequestId(one.event.subject))
        events = [each for each in history if each.event.request_id == one.event.subject]
        assert request is None or request == events
        assert tail.beginning(RequestId(one.event.subject)) == (request[0] if request else None)


def test_what_was_before_it_was_opened_is_not_in_it() -> None:
    tail = Tail(Ends({Topic.RTE: 7}), max_events=10, max_bytes=1_000)
    assert tail.read(Topic.RTE, after=6, limit=1) is None
    assert tail.read(Topic.RTE, after=7, limit=1) == []
    first = submitted()
    tail.extend(numbered([enqueued(first)], first=8), [1])
    assert tail.read_request(RequestId("r1")) is None
