"""Which events tell that a call to a payer is over."""

from __future__ import annotations

from typing import assert_never

from bus.events import (
    Answered,
    Cancelled,
    Completed,
    Downtime,
    Enqueued,
    EventData,
    Failed,
    Scheduled,
    Started,
    Submitted,
    TimedOut,
)
from bus.ids import CallId


def ended_call(data: EventData) -> CallId | None:
    """The call that this event proves to be over; None if it proves nothing.

    A request that timed out or was cancelled says nothing of its call, which runs on.
    """
    match data:
        case Completed() | Answered():
            return data.call_id
        case Failed() | Enqueued():
            return data.ended_call
        case Submitted() | Scheduled() | Started() | TimedOut() | Cancelled() | Downtime():
            return None
        case _:
            assert_never(data)
