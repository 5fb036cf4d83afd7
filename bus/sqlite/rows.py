"""Events as rows of the SQLite log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from bus.errors import LogCorrupt
from bus.events import Event, EventType, Recorded, decode_data, encode_data
from bus.ids import EventId, MemberId, TenantId
from bus.sealing import Sealer

Row = tuple[Any, ...]
"""The columns of a table, in their order, as sqlite3 takes and gives them."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_microseconds(time: datetime) -> int:
    """Microseconds since 1970 in UTC: integers sort as times do, whatever zone they were told in."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The time in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


class EventRows:
    """Turns events into rows and back, sealing and unsealing their data."""

    def __init__(self, path: Path, sealer: Sealer) -> None:
        self._path = path
        self._sealer = sealer

    def row(self, event: Event) -> Row:
        """The event's columns behind `position`; the last is its data.

        Raises ValueError for an event of a request that does not say whose it is.
        """
        tenant_id = event.tenant_id
        if event.sequence is not None and (tenant_id is None or event.member_id is None):
            raise ValueError("An event of a request names its tenant and its member.")
        return (
            event.topic.value,
            event.type.value,
            event.id,
            event.source,
            event.subject,
            to_microseconds(event.time),
            tenant_id,
            event.member_id,
            event.sequence,
            event.attempt,
            event.traceparent,
            self._sealer.seal(tenant_id or TenantId(""), encode_data(event.data)),
        )

    def recorded(self, row: Row) -> Recorded:
        """The event of a row of the table. Raises LogCorrupt where it cannot be read."""
        position, _, type_, id_, source, subject, time, tenant, member, sequence, attempt, traceparent, data = row
        try:
            decoded = decode_data(EventType(type_), self._sealer.unseal(TenantId(tenant or ""), data))
        except (msgspec.DecodeError, ValueError, LogCorrupt) as error:
            raise LogCorrupt(self._unreadable(position, error)) from error
        event = Event(
            id=EventId(id_),
            source=source,
            subject=subject,
            time=from_microseconds(time),
            data=decoded,
            tenant_id=None if tenant is None else TenantId(tenant),
            member_id=None if member is None else MemberId(member),
            sequence=sequence,
            attempt=attempt,
            traceparent=traceparent,
        )
        return Recorded(position=position, event=event)

    def _unreadable(self, position: int, error: Exception) -> str:
        """Never tells what stood there: it may be health data."""
        if isinstance(error, LogCorrupt):
            return f"{self._path}, position {position}: {error}"
        return (
            f"{self._path}, position {position}: the event cannot be read. Restore the file from a copy, or use the "
            "version of Covey that wrote it."
        )
