"""Answers as parts: Apollo's multipart subscription protocol.

A part counts as whole when the boundary behind it is there: so each is sent with the next boundary, and the first
boundary with the CRLF that clients look for.
"""

from __future__ import annotations

from typing import Final

from delivery.accept import StreamType

_BOUNDARY: Final = b"\r\n--graphql"
_HEAD: Final = b"\r\ncontent-type: application/json\r\n\r\n"


def _part(content: bytes) -> bytes:
    return b"%s%s%s" % (_HEAD, content, _BOUNDARY)


class Multipart:
    """See StreamForm."""

    door: Final = "multipart"
    content_type: Final = f'{StreamType.MULTIPART}; boundary="graphql"; subscriptionSpec=1.0'
    heartbeat_seconds: Final = 5.0
    """As Apollo Router's."""
    opening: Final = _BOUNDARY
    heartbeat: Final = _part(b"{}")
    completion: Final = b"--\r\n"

    def item(self, payload: bytes, cursor: str | None) -> bytes:  # noqa: ARG002 (parts have no ids)
        return _part(b'{"payload":%s}' % payload)

    def interruption(self, error: bytes) -> bytes | None:
        """The protocol's transport error: nothing is wrong with the subscription itself."""
        return _part(b'{"payload":null,"errors":[%s]}' % error) + self.completion
