"""The scheduler's errors.

CoveyError
├── QueueFull          come back after `retry_after_seconds`
└── AlreadyFinished    nothing to do: the request has its terminal event
"""

from __future__ import annotations

from bus.errors import CoveyError


class QueueFull(CoveyError):
    """Too many requests wait already. Come back later."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"Too many requests are waiting; try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class AlreadyFinished(CoveyError):
    """The request has ended; it cannot be changed any more."""
