"""The port to members' history: a view of the log beside it, where a log cannot be read by member itself.

Kafka's partitions hold many members; to give one of them what they missed, their events are kept together elsewhere.
What such a view lacks, because it is late or was trimmed, its reader takes from the log.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from bus.events import Recorded
from bus.ids import MemberId, RequestId, TenantId


class History(Struct, frozen=True, kw_only=True):
    """Some events in log order, and of which stretch of the log they are all there are."""

    events: tuple[Recorded, ...]
    after: int
    """No event between this position"""
    through: int
    """and this one is missing; `through` is less than `after` where the view holds nothing of that stretch."""


class MemberHistory(Protocol):
    """Events by member and by request. Adapter: Redis. May lose anything at any time: it is rebuilt from the log.

    Every method may raise StateUnavailable.
    """

    async def of_member(
        self, tenant_id: TenantId, member_id: MemberId, partition: int, *, after: int, limit: int
    ) -> History:
        """Up to `limit` of the member's events in `rte.events` behind `after`.

        Where `limit` cut them off, `through` is the last one's position; else as far as the view has come.
        """
        ...

    async def of_request(self, request_id: RequestId, *, after: int = 0) -> History | None:
        """All events of a request behind `after`; None where the view does not know the request."""
        ...
