"""The indexed priority queue against a plain dictionary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.priority_queue import PriorityQueue

CHANGES = st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 5)), max_size=400)


@given(CHANGES, st.integers(0, 5))
def test_items_come_out_by_rank_whatever_was_moved_or_discarded(
    changes: list[tuple[int, int | None]], upto: int
) -> None:
    queue: PriorityQueue[int, float] = PriorityQueue()
    ranks: dict[int, float] = {}
    for item, rank in changes:
        if rank is None:
            queue.discard(item)
            ranks.pop(item, None)
        else:
            queue.put(item, rank)
            ranks[item] = rank
        first = queue.first()
        assert (None if first is None else first[0]) == min(ranks.values(), default=None) == queue.first_rank()

    assert len(queue) == len(ranks)
    assert all((item in queue) == (item in ranks) for item in range(10))
    taken = list(queue.pop_through(upto))
    assert [ranks[item] for item in taken] == sorted(rank for rank in ranks.values() if rank <= upto)


def test_equal_ranks_come_out_in_the_order_they_were_put() -> None:
    queue: PriorityQueue[str, float] = PriorityQueue()
    for item in "cab":
        queue.put(item, 1.0)
    queue.put("c", 1.0)

    assert list(queue.pop_through(1.0)) == ["c", "a", "b"]


def test_what_was_moved_often_leaves_nothing_behind() -> None:
    queue: PriorityQueue[str, float] = PriorityQueue()
    for rank in range(10_000):
        queue.put("moved", float(-rank))
        queue.put("gone", float(-rank))
        queue.discard("gone")

    assert len(queue) == 1
    assert len(queue._heap) < 100
