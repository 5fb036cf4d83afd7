"""What a subscription selects, compiled once, so that an event becomes an answer without an execution.

A compiled selection reads attributes of the objects that `schema/updates.py` makes and writes what graphql-core's
executor would have: fields are collected by graphql-core itself, and only what is left to do for every event is ours.
Whatever is unusual - in the document when it is compiled, in a value when it is read - is left to the executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import Enum
from math import isfinite
from operator import attrgetter
from typing import Any, Final, cast

import msgspec
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLUnionType,
)
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields, collect_subfields
from graphql.execution.executor import Executor
from msgspec import Struct
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

_TYPENAME: Final = "__typename"
_ENCODER: Final = msgspec.json.Encoder()
_INT_MAX: Final = 2**31 - 1
_INT_MIN: Final = -(2**31)

Read = Callable[[Any], Any]
"""From an object to the JSON value of one of its fields. Raises Unusual."""
Write = Callable[[Any], Any]
"""From a field's value to its JSON value. Raises Unusual."""


class Unusual(Exception):
    """Left to the executor: a document that is not compiled, or a value that a field cannot tell as it is."""


class Selection(Struct, frozen=True):
    """The one field of a subscription, and what is read of whatever it gives."""

    response_name: str
    write: Write

    def payload(self, value: Any) -> bytes:
        """The whole answer as JSON. Raises Unusual."""
        try:
            return _ENCODER.encode({"data": {self.response_name: self.write(value)}})
        except Exception:  # the executor says which field is to blame
            raise Unusual from None


def compile_selection(executor: Executor[Any]) -> Selection:
    """What the executor's operation selects, with its variables. Raises Unusual."""
    root = executor.schema.subscription_type
    if root is None:
        raise Unusual
    collected = collect_fields(
        executor.schema, executor.fragments, executor.variable_values, root, executor.operation
    ).grouped_field_set
    if len(collected) != 1:
        raise Unusual
    ((name, details),) = collected.items()
    field = root.fields.get(details[0].node.name.value)
    if field is None:
        raise Unusual
    return Selection(name, _Compiler(executor).writer(field.type, details))


class _Compiler:
    """Follows an operation's selection sets down to the scalars."""

    def __init__(self, executor: Executor[Any]) -> None:
        self._executor = executor
        self._schema = executor.schema

    def writer(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Write:
        if isinstance(type_, GraphQLNonNull):
            return self._present(type_.of_type, details)
        return _nullable(self._present(type_, details))

    def _present(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Write:
        """For a value that is not null: null is as unusual for it as any other that its type does not have."""
        match type_:
            case GraphQLList():
                return _list_of(self.writer(type_.of_type, details))
            case GraphQLObjectType():
                return _one_of({_origin(type_): self._fields(type_, details)})
            case GraphQLUnionType() | GraphQLInterfaceType():
                possible = self._schema.get_possible_types(type_)
                return _one_of({_origin(each): self._fields(each, details) for each in possible})
            case GraphQLEnumType():
                return _enum(type_)
            case GraphQLScalarType() if type_.name in _SCALARS:
                return _SCALARS[type_.name]
            case _:
                raise Unusual

    def _fields(self, type_: GraphQLObjectType, details: FieldDetailsList) -> tuple[tuple[str, Read], ...]:
        executor = self._executor
        selected: GroupedFieldSet = collect_subfields(
            self._schema, executor.fragments, executor.variable_values, executor.operation, type_, details
        ).grouped_field_set
        return tuple((name, self._reader(type_, each)) for name, each in selected.items())

    def _reader(self, type_: GraphQLObjectType, details: FieldDetailsList) -> Read:
        name = details[0].node.name.value
        if name == _TYPENAME:
            typename = type_.name
            return lambda _: typename
        field = type_.fields.get(name)
        if field is None or field.args:
            raise Unusual
        attribute, write = _attribute(field), self.writer(field.type, details)
        return lambda of: write(attribute(of))


def _attribute(field: GraphQLField) -> Read:
    """What gives the field's Python value: an attribute, or a method that takes nothing and does not wait."""
    of = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(of, StrawberryField) or of.permission_classes or of.extensions:
        raise Unusual
    resolver = of.base_resolver
    if resolver is None:
        return attrgetter(of.python_name)
    if resolver.is_async or resolver.arguments or resolver.info_parameter or resolver.root_parameter:
        raise Unusual
    return cast("Read", resolver.wrapped_func)


def _origin(type_: GraphQLObjectType) -> type:
    definition = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(definition, StrawberryObjectDefinition):
        raise Unusual
    return definition.origin


def _one_of(fields_of: Mapping[type, tuple[tuple[str, Read], ...]]) -> Write:
    def write(value: Any) -> Any:
        fields = fields_of.get(type(value))
        if fields is None:
            raise Unusual
        return {name: read(value) for name, read in fields}

    return write


def _list_of(write: Write) -> Write:
    def written(value: Any) -> Any:
        if type(value) is not list:
            raise Unusual
        return [write(item) for item in value]

    return written


def _enum(type_: GraphQLEnumType) -> Write:
    members = getattr(type_, "wrapped_cls", None)
    if not isinstance(members, type) or not issubclass(members, Enum):
        raise Unusual
    names = {member: type_.serialize(member) for member in members}

    def write(value: Any) -> Any:
        if type(value) is not members:
            raise Unusual
        return names[value]

    return write


def _nullable(write: Write) -> Write:
    def written(value: Any) -> Any:
        return None if value is None else write(value)

    return written


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise Unusual


def _int(value: Any) -> int:
    if type(value) is int and _INT_MIN <= value <= _INT_MAX:
        return value
    raise Unusual


def _float(value: Any) -> float:
    if type(value) is float and isfinite(value):
        return value
    raise Unusual


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise Unusual


def _date_time(value: Any) -> str:
    if type(value) is datetime:
        return value.isoformat().replace("+00:00", "Z")
    raise Unusual


def _date(value: Any) -> str:
    if type(value) is date:
        return value.isoformat()
    raise Unusual


_SCALARS: Final[Mapping[str, Write]] = {
    "ID": _text,
    "String": _text,
    "Cursor": _text,
    "Int": _int,
    "Float": _float,
    "Boolean": _boolean,
    "DateTime": _date_time,
    "Date": _date,
}
"""As `schema/scalars.py` and GraphQL's own say, of the values that there usually are."""
