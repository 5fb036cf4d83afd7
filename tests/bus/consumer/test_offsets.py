"""Only the lowest contiguous end is committed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.consumer.offsets import OffsetTracker

offsets = st.sets(st.integers(0, 200), min_size=1).map(sorted)


@given(offsets, st.data())
def test_what_is_committed_has_ended_and_everything_before_it_too(begun: list[int], data: st.DataObject) -> None:
    tracker = OffsetTracker()
    for offset in begun:
        tracker.begin(offset)
    ended: set[int] = set()
    for offset in data.draw(st.permutations(begun)):
        tracker.finish(offset)
        ended.add(offset)
        before = [each for each in begun if tracker.committable is not None and each < tracker.committable]
        unended = [each for each in begun if each not in ended]
        assert ended.issuperset(before)
        assert tracker.oldest == (unended[0] if unended else begun[-1] + 1)
        # Nothing that could be committed is held back.
        assert len(before) == next((place for place, each in enumerate(begun) if each not in ended), len(begun))
    assert len(tracker) == 0


def test_nothing_is_committed_before_something_ended() -> None:
    tracker = OffsetTracker()
    tracker.begin(7)
    assert tracker.committable is None
    assert tracker.oldest == 7


def test_the_records_to_be_read_again_are_counted_until_the_oldest_ends() -> None:
    tracker = OffsetTracker()
    for offset in (3, 4, 5):
        tracker.begin(offset)
    tracker.finish(4)
    tracker.finish(5)
    assert len(tracker) == 3
    tracker.finish(3)
    assert (len(tracker), tracker.committable) == (0, 6)
