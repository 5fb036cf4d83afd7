"""The bus's errors. A class is one thing a caller can do about it.

CoveyError
├── LogUnavailable      ask again later: nothing was accepted
├── EventTooLarge       do not try again: this event can never be written
├── StateUnavailable    ask again later: what instances share cannot be reached
├── LogLocked           end the other process, or use another folder
├── LogCorrupt          restore the file, or move it away
└── CursorError         start the stream afresh (the three kinds of Gap)
    ├── CursorUnknown
    ├── CursorExpired
    └── StreamReset
"""

from __future__ import annotations


class CoveyError(Exception):
    """The base of everything Covey raises on purpose; its message is for people and holds no health data."""


class LogUnavailable(CoveyError):
    """The log cannot be written or read now (disk full, read-only, closed). Nothing was accepted; try again later."""


class EventTooLarge(CoveyError):
    """An event is larger than the log takes, now and later. Nothing was accepted; write a smaller one instead."""


class StateUnavailable(CoveyError):
    """What all instances share (Redis) cannot be reached now. Nothing acknowledged is lost; try again later."""


class LogLocked(CoveyError):
    """Another process has this log open for writing. End it, or give this one another folder."""


class LogCorrupt(CoveyError):
    """The file is not a log that this version can read. Restore it from a copy, or move it away to start afresh."""


class CursorError(CoveyError):
    """A stream cannot be continued from the cursor that was given."""


class CursorUnknown(CursorError):
    """The cursor was made up, altered, or belongs to another tenant, member or stream."""


class CursorExpired(CursorError):
    """The log no longer reaches back to the cursor."""


class StreamReset(CursorError):
    """The cursor is of another log than this one."""
