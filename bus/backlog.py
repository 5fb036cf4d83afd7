"""The port of what fills views again: the log from end to end, partition by partition."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol

from bus.events import Recorded
from bus.log import Span

Through = Callable[[], int]
"""How far a partition is to be read, as of now."""


class Backlog(Protocol):
    """`rte.events` by partition, read apart from the readers that serve. Every method may raise LogUnavailable."""

    async def spans(self) -> Mapping[int, Span]:
        """What each partition holds now."""
        ...

    def read(self, partition: int, *, after: int, through: Through) -> AsyncGenerator[Sequence[Recorded], None]:
        """Every event of the partition behind `after` up to and with `through`, in order, in batches; then it ends.

        `through` is asked anew before each batch; some events behind it may come too.
        """
        ...
