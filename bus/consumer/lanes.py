"""Order per key with concurrency across keys: what may be worked on next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Lanes(Generic[K, T]):
    """One lane a key: its items are taken one at a time, in the order they came; lanes take turns."""

    def __init__(self) -> None:
        self._lanes: dict[K, deque[T]] = {}
        """Of every key with a taken item or waiting ones: those that wait."""
        self._ready: deque[K] = deque()
        """Lanes from which an item can be taken now."""

    @property
    def ready(self) -> int:
        """How many items can be taken before one must be done."""
        return len(self._ready)

    def add(self, key: K, item: T) -> None:
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = deque((item,))
            self._ready.append(key)
        else:
            lane.append(item)

    def take(self) -> T | None:
        """The next item of the lane whose turn it is; None while every lane is empty or has an item out."""
        return self._lanes[self._ready.popleft()].popleft() if self._ready else None

    def done(self, key: K) -> None:
        """The item that was taken from this lane is out of the way."""
        if self._lanes[key]:
            self._ready.append(key)
        else:
            del self._lanes[key]

    def drop(self, unwanted: Callable[[T], bool]) -> int:
        """Forget waiting items; how many there were. Taken ones still have to be done."""
        dropped = 0
        for lane in self._lanes.values():
            kept = [item for item in lane if not unwanted(item)]
            dropped += len(lane) - len(kept)
            lane.clear()
            lane.extend(kept)
        emptied = {key for key in self._ready if not self._lanes[key]}
        for key in emptied:
            del self._lanes[key]
        self._ready = deque(key for key in self._ready if key not in emptied)
        return dropped
