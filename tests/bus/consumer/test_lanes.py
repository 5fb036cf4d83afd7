"""Items of a key one at a time, in their order; no key waits for another."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus.consumer.lanes import Lanes

KEYS = st.sampled_from("abc")


class LanesAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes[str, tuple[str, int]] = Lanes()
        self.waiting: dict[str, list[tuple[str, int]]] = {key: [] for key in "abc"}
        self.out: set[str] = set()
        self.count = 0

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.count += 1
        self.lanes.add(key, (key, self.count))
        self.waiting[key].append((key, self.count))

    @rule()
    def take(self) -> None:
        item = self.lanes.take()
        free = {key for key, items in self.waiting.items() if items and key not in self.out}
        if item is None:
            assert not free
            return
        key = item[0]
        assert key in free
        assert self.waiting[key].pop(0) == item
        self.out.add(key)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.out)))
        self.out.remove(key)
        self.lanes.done(key)

    @rule(remainder=st.integers(0, 1))
    def drop(self, remainder: int) -> None:
        before = sum(map(len, self.waiting.values()))
        for items in self.waiting.values():
            items[:] = [item for item in items if item[1] % 2 != remainder]
        dropped = self.lanes.drop(lambda item: item[1] % 2 == remainder)
        assert dropped == before - sum(map(len, self.waiting.values()))

    @invariant()
    def every_free_key_can_be_taken(self) -> None:
        assert self.lanes.ready == sum(1 for key, items in self.waiting.items() if items and key not in self.out)


TestLanes = LanesAgainstModel.TestCase
TestLanes.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_keys_take_turns() -> None:
    lanes: Lanes[str, int] = Lanes()
    for key, item in (("hot", 1), ("hot", 2), ("cold", 3)):
        lanes.add(key, item)
    assert lanes.take() == 1
    lanes.done("hot")
    assert lanes.take() == 3
