"""What follows a failure: try again in place, later through a retry topic, or a dead letter."""

from __future__ import annotations

from msgspec import Struct


class Again(Struct, frozen=True):
    """In place, after `seconds`: later events of the key wait behind it, so their order is kept."""

    seconds: float


class Later(Struct, frozen=True):
    """Through the retry topic of this delay: later events of the key overtake it."""

    seconds: int


class GiveUp(Struct, frozen=True):
    """As a dead letter."""


Step = Again | Later | GiveUp


class Retries(Struct, frozen=True, kw_only=True):
    """How often, and after how long, a failed event is handled again.

    First in place, then through one retry topic a delay, then it is a dead letter: attempts are one more than the
    delays given. Raises ValueError for a negative delay in place, or topics whose delays do not rise from 1 s on.
    """

    in_place: tuple[float, ...] = ()
    """Seconds before each attempt that keeps the order of its key."""
    topics: tuple[int, ...] = (5, 60, 600)
    """Whole seconds before each attempt that does not."""

    def __post_init__(self) -> None:
        if any(seconds < 0 for seconds in self.in_place):
            raise ValueError("A delay in place is not negative.")
        if any(later <= earlier for earlier, later in zip((0, *self.topics), self.topics, strict=False)):
            raise ValueError("The delays of retry topics rise, from 1 second on.")

    @property
    def attempts(self) -> int:
        """How often an event is handled before it is a dead letter."""
        return 1 + len(self.in_place) + len(self.topics)

    def after(self, attempts: int) -> Step:
        """What follows the failure of the attempt with this number, counted from 1 over all topics."""
        if attempts <= len(self.in_place):
            return Again(self.in_place[attempts - 1])
        if attempts < self.attempts:
            return Later(self.topics[attempts - 1 - len(self.in_place)])
        return GiveUp()
