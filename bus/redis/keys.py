"""Where what lies in Redis: the names of all keys of the views of one log.

No key tells who somebody is: a tenant and member enter as a hash. The name of the log, and of the key that its data is
sealed with, are part of every key, so that the views of another log or under another key are never met; they expire.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from bus.events import Recorded
from bus.fold import RequestState, RequestStatus
from bus.ids import CallId, MemberId, RequestId, TenantId, derived_id

_FORMAT: Final = "1"
"""Counted up when what lies in Redis changes its shape: the views are then filled anew beside the old ones."""
_PLACES_BEGIN: Final = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_TIE_BITS: Final = 13
_PLACE_DIGITS: Final = 16
_NAMES_REMEMBERED: Final = 16_384
"""Of members and tenants; a name takes as long to make as to send."""


class RedisKeys:
    """The keys of one log's views. `data_key_name` tells the sealing key from others without being it."""

    def __init__(self, epoch: str, data_key_name: str = "") -> None:
        self.prefix: Final = f"covey:{derived_id('views', _FORMAT, epoch, data_key_name)[:12]}:"
        self.calls: Final = f"{self.prefix}calls"
        """Sorted set: calls whose end is not known, by the end of their lease in microseconds."""
        self.open: Final = f"{self.prefix}open"
        """Sorted set: entries of all requests that have not ended, oldest first."""
        self.rebuild: Final = f"{self.prefix}rebuild"
        """Who rebuilds now."""
        self.sweep: Final = f"{self.prefix}sweep"
        """Whose turn it is to look for requests that stand still."""

    @property
    def all_progress(self) -> str:
        """What the key of every partition's progress begins with."""
        return f"{self.prefix}part:"

    def progress(self, partition: int) -> str:
        """Hash: how far the views have come in the partition (`after`, `through`)."""
        return f"{self.all_progress}{partition}"

    def marks(self, partition: int) -> str:
        """Sorted set: positions behind which no event is of an earlier hour, by the hour."""
        return f"{self.prefix}marks:{partition}"

    def events(self, partition: int, tenant_id: TenantId, member_id: MemberId) -> str:
        """Stream: a member's events, by position."""
        return f"{self.prefix}events:{partition}:{member_name(tenant_id, member_id)}"

    def request(self, request_id: RequestId) -> str:
        """Hash: a request, and where its events are."""
        return f"{self.prefix}request:{request_id}"

    def claim(self, request_id: RequestId) -> str:
        """Which submission an id derived from an idempotency key belongs to."""
        return f"{self.prefix}claim:{request_id}"

    def call(self, call_id: CallId) -> str:
        """Hash: a call's lease and start, or that it ended."""
        return f"{self.prefix}call:{call_id}"

    def people(self, tenant_id: TenantId, member_id: MemberId, caller: str) -> str:
        """Sorted set: the people a caller asked about for a member, by when last, in microseconds."""
        return f"{self.prefix}people:{member_name(tenant_id, member_id)}:{derived_id('caller', caller)}"

    def of_member(self, tenant_id: TenantId, member_id: MemberId) -> str:
        """Sorted set: entries of the member's requests."""
        return f"{self.prefix}of-member:{member_name(tenant_id, member_id)}"

    def of_tenant(self, tenant_id: TenantId, status: RequestStatus) -> str:
        """Sorted set: entries of the tenant's requests that stand there."""
        return f"{self.prefix}of-tenant:{tenant_name(tenant_id)}:{status}"


@lru_cache(_NAMES_REMEMBERED)
def member_name(tenant_id: TenantId, member_id: MemberId) -> str:
    """The member in a key."""
    return derived_id("member", tenant_id, member_id)


@lru_cache(_NAMES_REMEMBERED)
def tenant_name(tenant_id: TenantId) -> str:
    """The tenant in a key."""
    return derived_id("tenant", tenant_id)


def entry(state: RequestState) -> str:
    """A request in a listing: its place in digits that sort, then its id."""
    return f"{place(state.submitted_at, state.submitted_position):0{_PLACE_DIGITS}x}{state.request_id}"


def place(submitted_at: datetime, position: int) -> int:
    """Where a request stands in every listing, in 64 bits: the microsecond it was submitted, then its position's end.

    Positions of two partitions cannot be compared, so the time goes first. The same after any rebuild. Two requests
    could share a place only if they were submitted in the same microsecond in two partitions.
    """
    since = microseconds(submitted_at) - _PLACES_BEGIN
    return max(since, 0) << _TIE_BITS | position % (1 << _TIE_BITS)


def place_of(entry: str) -> int:
    """The place in an entry."""
    return int(entry[:_PLACE_DIGITS], 16)


def request_of(entry: str) -> RequestId:
    """The request in an entry."""
    return RequestId(entry[_PLACE_DIGITS:])


def bound(place: int) -> str:
    """What stands before every entry of this place or a later one."""
    return f"{place:0{_PLACE_DIGITS}x}"


def stream_id(position: int) -> str:
    """The id of the event at that position in its member's stream."""
    return f"{position}-1"


def position_of(stream_id: bytes) -> int:
    """The position that an id in a stream stands for."""
    return int(stream_id.split(b"-", 1)[0])


def microseconds(time: datetime) -> int:
    """Since 1970; exact in the doubles that Redis sorts by until the year 2255."""
    return round(time.timestamp() * 1_000_000)


def hour(time: datetime) -> int:
    """Hours since 1970."""
    return microseconds(time) // 3_600_000_000


def by_position(recorded: Recorded) -> tuple[int, int]:
    """Orders events of several partitions."""
    return recorded.partition, recorded.position
