"""What the values in Redis are: events and requests in MessagePack, sealed for their tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from bus.events import Event, EventType, Recorded, decode_data, encode_data
from bus.fold import RequestState
from bus.ids import EventId, MemberId, TenantId
from bus.sealing import Sealer

_ENCODER: Final = msgspec.msgpack.Encoder()


class _Kept(Struct, frozen=True, array_like=True):
    """An event as it is kept; its tenant is known by where it lies. New fields go to the end."""

    position: int
    partition: int
    type: EventType
    id: EventId
    source: str
    subject: str
    time: datetime
    member_id: MemberId | None
    sequence: int | None
    attempt: int | None
    traceparent: str | None
    data: bytes


_EVENTS: Final = msgspec.msgpack.Decoder(_Kept)
_STATES: Final = msgspec.msgpack.Decoder(RequestState)


class RedisValues:
    """Turns events and requests into bytes and back. Reading raises LogCorrupt where the key is another."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def event(self, tenant_id: TenantId, recorded: Recorded) -> bytes:
        """The bytes of an event of that tenant."""
        event = recorded.event
        kept = _Kept(
            recorded.position,
            recorded.partition,
            event.type,
            event.id,
            event.source,
            event.subject,
            event.time,
            event.member_id,
            event.sequence,
            event.attempt,
            event.traceparent,
            encode_data(event.data),
        )
        return self._sealer.seal(tenant_id, _ENCODER.encode(kept))

    def recorded(self, tenant_id: TenantId, value: bytes) -> Recorded:
        """The event in the bytes."""
        kept = _EVENTS.decode(self._sealer.unseal(tenant_id, value))
        event = Event(
            id=kept.id,
            source=kept.source,
            subject=kept.subject,
            time=kept.time,
            data=decode_data(kept.type, kept.data),
            tenant_id=tenant_id,
            member_id=kept.member_id,
            sequence=kept.sequence,
            attempt=kept.attempt,
            traceparent=kept.traceparent,
        )
        return Recorded(position=kept.position, event=event, partition=kept.partition)

    def request(self, state: RequestState) -> bytes:
        """The bytes of a request."""
        return self._sealer.seal(state.tenant_id, _ENCODER.encode(state))

    def state(self, tenant_id: TenantId, value: bytes) -> RequestState:
        """The request in the bytes."""
        return _STATES.decode(self._sealer.unseal(tenant_id, value))
