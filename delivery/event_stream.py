"""Answers as Server-Sent Events: graphql-sse's distinct connections mode, with cursors as event ids.

Lines end in LF: urql looks for two of them, and finds none in CRLFs.
"""

from __future__ import annotations

from typing import Final

from delivery.accept import StreamType

_HEARTBEAT: Final = b":\n\n"


class EventStream:
    """See StreamForm."""

    door: Final = "sse"
    content_type: Final = f"{StreamType.EVENTS}; charset=utf-8"
    heartbeat_seconds: Final = 12.0
    opening: Final = _HEARTBEAT
    heartbeat: Final = _HEARTBEAT
    completion: Final = b"event: complete\ndata:\n\n"
    """EventSource passes over events without a `data` line."""

    def item(self, payload: bytes, cursor: str | None) -> bytes:
        place = b"" if cursor is None else b"id: %s\n" % cursor.encode()
        return b"event: next\n%sdata: %s\n\n" % (place, payload)

    def interruption(self, error: bytes) -> bytes | None:  # noqa: ARG002 (nothing that all clients would read)
        """None: urql takes the end of the body for the end of the subscription, and any event for an answer; only a
        connection that breaks makes every client come back."""
        return None
