"""What some events of a partition change in Redis: worked out here, with the one fold, and done there in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from bus.calls import ended_call
from bus.events import Purpose, Recorded, Started, Submitted
from bus.fold import RequestState, fold
from bus.ids import CallId, MemberId, RequestId, TenantId
from bus.redis.keys import RedisKeys, bound, entry, microseconds, place, stream_id
from bus.redis.values import RedisValues

_ENCODER: Final = msgspec.msgpack.Encoder()
_SLACK: Final = timedelta(hours=2)
"""Values go that much later than the views stop claiming to hold them: clocks differ, and events come late."""


class Keeping(Struct, frozen=True, kw_only=True):
    """How much is kept, and for how long."""

    retention: timedelta
    """The log's own; counted from an event's time."""
    events_per_member: int = 5_000
    """Of these the newest are kept; what is older is read from the log."""

    def expires(self, time: datetime) -> int:
        """When what is of this time may go, in milliseconds since 1970."""
        return int((time.timestamp() + (self.retention + _SLACK).total_seconds()) * 1_000)


class _Touched(Struct):
    """A request that some of the events name."""

    state: RequestState | None
    before: RequestState | None
    first: int
    last: int
    newest: datetime
    stream: str
    count: int = 0


class Todo:
    """The work for the script `TAKE`, of one partition. Events are added in log order."""

    def __init__(
        self,
        *,
        keys: RedisKeys,
        values: RedisValues,
        keeping: Keeping,
        partition: int,
        states: Mapping[RequestId, RequestState | None],
        now: datetime,
    ) -> None:
        """`states` has every request of the events to come as it stands before them, None where it is not known."""
        self._keys = keys
        self._values = values
        self._keeping = keeping
        self._partition = partition
        self._before = states
        self._oldest = now - keeping.retention
        self._events: list[Sequence[object]] = []
        self._people: list[Sequence[object]] = []
        self._calls: list[Sequence[object]] = []
        self._touched: dict[RequestId, _Touched] = {}
        self._named_values: list[bytes] = []

    def add(self, recorded: Recorded) -> None:
        """One more event."""
        event = recorded.event
        if event.tenant_id is None or event.member_id is None:
            return  # nobody's history has it
        value = self._named(self._values.event(event.tenant_id, recorded))
        expires = self._keeping.expires(event.time)
        stream = self._keys.events(self._partition, event.tenant_id, event.member_id)
        self._events.append((stream, stream_id(recorded.position), value, self._keeping.events_per_member, expires))
        if event.request_id is None or self._counts(event.request_id, recorded, stream):
            self._note_call(event.tenant_id, recorded, value, expires)
            self._note_person(event.tenant_id, event.member_id, recorded, expires)

    @property
    def states(self) -> Mapping[RequestId, RequestState | None]:
        """The requests that the events name, as they stand behind them."""
        return {request_id: touched.state for request_id, touched in self._touched.items()}

    def packed(self) -> tuple[bytes, list[bytes]]:
        """The work for the script, and the values that it names: Redis' MessagePack knows no bytes."""
        requests = [
            self._request(request_id, touched, touched.state)
            for request_id, touched in self._touched.items()
            if touched.state is not None  # else its beginning is not known, and the rest tells nothing
        ]
        stood = [
            (self._keys.request(request_id), 0 if touched.before is None else touched.before.sequence)
            for request_id, touched in self._touched.items()
        ]
        work = {
            "partition": self._partition,
            "stood": stood,
            "events": self._events,
            "requests": requests,
            "people": self._people,
            "calls": self._calls,
        }
        return _ENCODER.encode(work), self._named_values

    def _named(self, value: bytes) -> int:
        self._named_values.append(value)
        return len(self._named_values)

    def _counts(self, request_id: RequestId, recorded: Recorded, stream: str) -> bool:
        touched = self._touched.get(request_id)
        if touched is None:
            known = self._before[request_id]
            touched = self._touched[request_id] = _Touched(
                state=known, before=known, first=0, last=0, newest=recorded.event.time, stream=stream
            )
        before = touched.state
        touched.state = fold(before, recorded)
        if touched.state is None:
            return False  # not begun, or its beginning is not known
        touched.first = touched.first or recorded.position
        touched.count += 1
        touched.last = recorded.position
        touched.newest = max(touched.newest, recorded.event.time)
        return touched.state is not before

    def _request(self, request_id: RequestId, touched: _Touched, state: RequestState) -> dict[str, Any]:
        own: dict[str, Any] = {
            "key": self._keys.request(request_id),
            "count": touched.count,
            "first": str(touched.first),
            "last": str(touched.last),
            "expires": self._keeping.expires(touched.newest),
        }
        if state is not touched.before:
            own |= {
                "sequence": state.sequence,
                "tenant": state.tenant_id,
                "state": self._named(self._values.request(state)),
                "stream": touched.stream,
                "list": self._keys.of_tenant(state.tenant_id, state.status),
                "listing": self._keys.of_member(state.tenant_id, state.member_id),
                "open": self._keys.open,
                "entry": entry(state),
                "oldest": bound(place(self._oldest, 0)),
                "ended": state.status.terminal,
            }
        return own

    def _note_call(self, tenant_id: TenantId, recorded: Recorded, value: int, expires: int) -> None:
        data = recorded.event.data
        if isinstance(data, Started):
            lease = str(microseconds(data.lease_expires_at))
            self._calls.append((self._keys.call(data.call_id), data.call_id, expires, lease, value, tenant_id))
        ended: CallId | None = ended_call(data)
        if ended is not None:
            self._calls.append((self._keys.call(ended), ended, expires))

    def _note_person(self, tenant_id: TenantId, member_id: MemberId, recorded: Recorded, expires: int) -> None:
        data = recorded.event.data
        if isinstance(data, Submitted) and data.purpose is Purpose.ASKED and recorded.event.sequence == 1:
            person = data.question.person_key(tenant_id)
            asked = str(microseconds(recorded.event.time))
            oldest = str(microseconds(self._oldest))
            self._people.append((self._keys.people(tenant_id, member_id, data.caller), person, asked, oldest, expires))
