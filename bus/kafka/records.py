"""Events as records of Kafka: CloudEvents 1.0 in binary mode (CloudEvents Kafka protocol binding, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka.partitioner import murmur2

from bus.errors import LogCorrupt
from bus.events import Event, EventType, Recorded, Topic, decode_data, encode_data
from bus.ids import EventId, MemberId, TenantId
from bus.sealing import Sealer

_SPECIFICATION: Final = "1.0"
_PLAIN: Final = "application/json"
_SEALED: Final = "application/octet-stream"
_TYPES: Final[Mapping[bytes, EventType]] = {type_.value.encode(): type_ for type_ in EventType}
_POSITIVE: Final = 0x7FFFFFFF
_MEMBERS_REMEMBERED: Final = 65_536
"""The hash is Python's own work, and asked for with every record that is read."""


class Place(NamedTuple):
    """One order of events: a topic's partition."""

    topic: Topic
    partition: int


class Message(NamedTuple):
    """An event on its way into the log."""

    place: Place
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def member_key(tenant_id: TenantId, member_id: MemberId) -> bytes:
    """The key of a member's records: a JSON list of tenant and member, so that no two people share one."""
    return msgspec.json.encode([tenant_id, member_id])


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's own clients put a record of this key, so that other writers agree with us."""
    number: int = (murmur2(key) & _POSITIVE) % partitions
    return number


@lru_cache(_MEMBERS_REMEMBERED)
def _partition_of_member(tenant_id: TenantId, member_id: MemberId, partitions: int) -> int:
    return partition_of(member_key(tenant_id, member_id), partitions)


def position_of(offset: int) -> int:
    """Positions are offsets counted from 1: 0 is before everything, as in every log."""
    return offset + 1


def offset_behind(position: int) -> int:
    """The offset of the first record behind a position."""
    return position


class KafkaRecords:
    """Turns events into messages and records into events, sealing and unsealing their data."""

    def __init__(self, partitions: Mapping[Topic, int], sealer: Sealer) -> None:
        """`partitions` is how many each topic has."""
        self._partitions = partitions
        self._sealer = sealer

    def member_place(self, tenant_id: TenantId, member_id: MemberId) -> Place:
        """Where the member's events stand."""
        return Place(Topic.RTE, _partition_of_member(tenant_id, member_id, self._partitions[Topic.RTE]))

    def message(self, event: Event) -> Message:
        """Raises ValueError for an event of a request that does not say whose it is."""
        if event.sequence is not None and (event.tenant_id is None or event.member_id is None):
            raise ValueError("An event of a request names its tenant and its member.")
        place = Place(event.topic, self._partition(event))
        plain = encode_data(event.data)
        value = self._sealer.seal(event.tenant_id or TenantId(""), plain)
        attributes = {
            "ce_specversion": _SPECIFICATION,
            "ce_id": event.id,
            "ce_source": event.source,
            "ce_type": event.type.value,
            "ce_subject": event.subject,
            "ce_time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "ce_tenantid": event.tenant_id,
            "ce_memberid": event.member_id,
            "ce_sequence": event.sequence,
            "ce_attempt": event.attempt,
            "ce_traceparent": event.traceparent,
            "content-type": _PLAIN if value is plain else _SEALED,
        }
        headers = [(name, str(value).encode()) for name, value in attributes.items() if value is not None]
        return Message(place, _key(event), value, headers)

    def recorded(
        self, place: Place, record: Any, matches: Callable[[Mapping[str, bytes]], bool] | None = None
    ) -> Recorded | None:
        """The event of a record, which has `offset`, `value` and `headers`; None for one that is no event of this
        catalogue, or where the headers do not match.

        What another program wrote, or a later version of this one, stops nobody. Raises LogCorrupt for data that is
        sealed with another key: passing over what was acknowledged would be a loss.
        """
        try:
            headers: dict[str, bytes] = dict(record.headers)
            if matches is not None and not matches(headers):
                return None
            told = headers.get
            tenant, member, traceparent = told("ce_tenantid"), told("ce_memberid"), told("ce_traceparent")
            sequence, attempt = told("ce_sequence"), told("ce_attempt")
            tenant_id = None if tenant is None else TenantId(tenant.decode())
            value = self._sealer.unseal(tenant_id or TenantId(""), record.value or b"")
            event = Event(
                id=EventId(headers["ce_id"].decode()),
                source=headers["ce_source"].decode(),
                subject=headers["ce_subject"].decode(),
                time=datetime.fromisoformat(headers["ce_time"].decode()),
                data=decode_data(_TYPES[headers["ce_type"]], value),
                tenant_id=tenant_id,
                member_id=None if member is None else MemberId(member.decode()),
                sequence=None if sequence is None else int(sequence),
                attempt=None if attempt is None else int(attempt),
                traceparent=None if traceparent is None else traceparent.decode(),
            )
        except LogCorrupt as error:
            where = f"{place.topic}, partition {place.partition}, offset {record.offset}"
            raise LogCorrupt(f"{where}: {error}") from error
        except (KeyError, ValueError, TypeError, AttributeError, msgspec.MsgspecError):
            return None
        owned = event.tenant_id is not None and event.member_id is not None
        if event.topic is not place.topic or (event.sequence is not None and not owned):
            return None
        return Recorded(position=position_of(record.offset), event=event, partition=place.partition)

    def misplaced(self, recorded: Recorded) -> bool:
        """Whether the event stands in another partition than its key's: written while the topic had fewer."""
        return self._partition(recorded.event) != recorded.partition

    def _partition(self, event: Event) -> int:
        partitions = self._partitions[event.topic]
        if event.tenant_id is not None and event.member_id is not None:
            return _partition_of_member(event.tenant_id, event.member_id, partitions)
        return partition_of(_key(event), partitions)


def _key(event: Event) -> bytes:
    if event.tenant_id is not None and event.member_id is not None:
        return member_key(event.tenant_id, event.member_id)
    return event.subject.encode()
