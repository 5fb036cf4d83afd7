"""The port to claims: which submission an id that is derived from an idempotency key belongs to, while it is written.

Where a log has one order for everybody, it refuses the second by itself. Kafka has one for each member: two submissions
under one key about two members lie in two partitions, and neither is in front of the other.
"""

from __future__ import annotations

from typing import Protocol

from bus.ids import RequestId


class Claims(Protocol):
    """Adapters: Redis, for many instances; `OneOrder`, where the log needs no help."""

    async def claim(self, request_id: RequestId, fingerprint: str) -> str:
        """The fingerprint of whoever claimed the id first, which may be this one. May raise StateUnavailable."""
        ...


class OneOrder:
    """For a log that refuses the second of two requests with one id, whoever they are about."""

    async def claim(self, request_id: RequestId, fingerprint: str) -> str:  # noqa: ARG002  # the log will tell
        """See Claims."""
        return fingerprint
