"""Strategies: documents that follow something, and the items that may come of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final

from graphql import (
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_leaf_type,
)
from hypothesis import strategies as st

from bus.coverage import Benefit, BenefitKind, Coverage, CoverageLevel, CoverageStatus, Network, TimePeriod
from bus.events import (
    Cancelled,
    Completed,
    Downtime,
    Enqueued,
    Event,
    EventData,
    Failed,
    Recorded,
    Started,
    TimedOut,
)
from bus.failure import Failure, FailureKind
from bus.ids import CallId, EventId, MemberId, PayerId, RequestId, TenantId
from bus.replay import Checkpoint, Delivered, Gap, GapReason
from resolvers.progress import QueueProgress
from scheduler.admission import QueuePlace

ROOTS: Final = {
    "coverageRequestEvents": "coverageRequestEvents(requestId: $id, after: $after)",
    "memberEvents": "memberEvents(memberId: $id)",
    "payerEvents": "payerEvents(payerIds: [$id])",
}
VARIABLES: Final = "$id: ID! = 1, $after: Cursor, $yes: Boolean!, $no: Boolean! = false"

_odd_text = st.sampled_from(["", "\ud800", '"quoted"\\', "\u2028\x00", "é", "x" * 300])
_text = st.one_of(st.text(max_size=12), _odd_text)
_some_text = st.none() | _text
_moment = st.builds(
    lambda seconds, micro, hours: (
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=hours)) if hours else UTC)
        + timedelta(seconds=seconds, microseconds=micro)
    ),
    st.integers(0, 10**8),
    st.sampled_from([0, 1, 999_999]),
    st.sampled_from([0, 0, 2, -7]),
)
_number = st.sampled_from([0, 1, 2, 7, 2**31 - 1, 2**31, -(2**31) - 1])
_seconds = st.none() | st.floats(allow_nan=True) | st.integers(0, 3).map(float)


class _Writer:
    """Writes one document; what is drawn decides."""

    def __init__(self, schema: GraphQLSchema, draw: Callable[..., Any]) -> None:
        self._schema = schema
        self._draw = draw
        self._fragments: dict[str, str] = {}
        self._aliases = 0

    def document(self, root: str) -> str:
        subscription = self._schema.subscription_type
        assert subscription is not None
        alias = "renamed: " if self._draw(st.booleans()) else ""
        selected = self._selections(get_named_type(subscription.fields[root].type), 0)
        fragments = " ".join(self._fragments.values())
        return f"subscription S({VARIABLES}) {{ {alias}{ROOTS[root]} {selected} }} {fragments}"

    def _selections(self, type_: GraphQLNamedType, depth: int) -> str:
        count = self._draw(st.integers(1, 5))
        return "{ __typename " + " ".join(self._selection(type_, depth) for _ in range(count)) + " }"

    def _selection(self, type_: GraphQLNamedType, depth: int) -> str:
        kinds = ["inline", "spread", "typename"] if is_abstract_type(type_) else ["field"] * 5 + ["inline", "spread"]
        kind = self._draw(st.sampled_from(kinds if depth < 3 else kinds[:1] if is_abstract_type(type_) else ["field"]))
        directive = self._draw(
            st.sampled_from(["", "", "", " @skip(if: $yes)", " @include(if: $yes)", " @skip(if: $no)"])
        )
        if kind == "typename":
            return f"{self._alias()}__typename{directive}"
        if kind == "field":
            return self._field(type_, directive, depth)
        within = self._narrowed(type_)
        if kind == "inline":
            condition = f" on {within.name}" if within is not type_ or self._draw(st.booleans()) else ""
            return f"...{condition}{directive} {self._selections(within, depth + 1)}"
        name = f"F{len(self._fragments)}"
        self._fragments[name] = ""
        self._fragments[name] = f"fragment {name} on {within.name} {self._selections(within, depth + 1)}"
        return f"...{name}{directive}"

    def _narrowed(self, type_: GraphQLNamedType) -> GraphQLNamedType:
        if not is_abstract_type(type_):
            return type_
        possible: list[GraphQLNamedType] = [*self._schema.get_possible_types(type_)]
        update = self._schema.get_type("Update")
        assert update is not None
        return self._draw(st.sampled_from([*possible, update]))  # type: ignore[no-any-return]

    def _field(self, type_: GraphQLNamedType, directive: str, depth: int) -> str:
        assert isinstance(type_, GraphQLObjectType) or is_abstract_type(type_)
        fields = getattr(type_, "fields", {})
        usable = {
            name: field for name, field in fields.items() if depth < 4 or is_leaf_type(get_named_type(field.type))
        }
        if not usable:
            return f"{self._alias()}__typename{directive}"
        name = self._draw(st.sampled_from(sorted(usable)))
        below = get_named_type(usable[name].type)
        selected = f" {self._selections(below, depth + 1)}" if is_composite_type(below) else ""
        return f"{self._alias()}{name}{directive}{selected}"

    def _alias(self) -> str:
        if self._draw(st.booleans()):
            return ""
        self._aliases += 1
        return f"a{self._aliases}: "


@st.composite
def documents(draw: Callable[..., Any], schema: GraphQLSchema) -> str:
    """A subscription of the contract with fragments, aliases and directives; now and then one that is not valid."""
    return _Writer(schema, draw).document(draw(st.sampled_from(sorted(ROOTS))))


_benefits = st.builds(
    Benefit,
    kind=st.sampled_from(BenefitKind),
    service_type_codes=st.lists(_text, max_size=2).map(tuple),
    amount=_some_text,
    percent=_some_text,
    network=st.sampled_from(Network),
    coverage_level=st.none() | st.sampled_from(CoverageLevel),
    time_period=st.none() | st.sampled_from(TimePeriod),
    quantity=_some_text,
    messages=st.lists(_text, max_size=2).map(tuple),
)
_days = st.none() | st.dates(date(1900, 1, 1), date(2100, 1, 1))
_coverage = st.builds(
    Coverage,
    status=st.sampled_from(CoverageStatus),
    payer_id=_text.map(PayerId),
    obtained_at=_moment,
    request_id=_text.map(RequestId),
    plan_name=_some_text,
    group_number=_some_text,
    plan_begin=_days,
    plan_end=_days,
    benefits=st.lists(_benefits, max_size=2).map(tuple),
)
_failure = st.builds(
    Failure,
    code=_text,
    kind=st.sampled_from(FailureKind),
    message=_text,
    field=_some_text,
    follow_up=_some_text,
)
_payer = _text.map(PayerId)
_call = st.just(CallId("call"))
_data: st.SearchStrategy[EventData] = st.one_of(
    st.builds(
        Enqueued, payer_id=_payer, queue_position=st.none() | _number, estimated_wait_seconds=_seconds, cause=st.none()
    ),
    st.builds(Started, payer_id=_payer, call_id=_call, lease_expires_at=_moment),
    st.builds(Completed, payer_id=_payer, call_id=_call, question_key=st.just("k"), coverage=_coverage),
    st.builds(Failed, payer_id=_payer, failure=_failure),
    st.builds(TimedOut, payer_id=_payer, failure=_failure),
    st.builds(Cancelled, payer_id=_payer),
    st.builds(Downtime, payer_id=_payer, available=st.booleans(), since=_moment),
)


def _recorded(data: EventData, id_: str, time: datetime, counted: tuple[int, int | None], of_nobody: bool) -> Recorded:
    sequence, attempt = counted
    event = Event(
        id=EventId(id_),
        source="test",
        subject=id_,
        time=time,
        tenant_id=TenantId("acme"),
        member_id=None if of_nobody else MemberId(id_),
        sequence=sequence,
        attempt=attempt,
        data=data,
    )
    return Recorded(position=1, event=event)


items = st.one_of(
    st.builds(
        Delivered,
        recorded=st.builds(_recorded, _data, _text, _moment, st.tuples(_number, st.none() | _number), st.booleans()),
        cursor=_text,
        encodings=st.none(),
    ),
    st.builds(Checkpoint, cursor=_text),
    st.builds(Gap, cursor=_text, reason=st.sampled_from(GapReason)),
    st.builds(
        QueueProgress,
        request_id=_text.map(RequestId),
        place=st.builds(QueuePlace, queue_position=_number, estimated_wait_seconds=_seconds),
        cursor=_text,
    ),
)
"""Items of any stream, whether the document's has such or not."""
