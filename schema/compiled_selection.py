"""What a selection set reads of an object, compiled once, so that no execution is needed for it.

Compiled, it reads attributes of the schema's objects and gives the JSON that graphql-core's executor would have: fields
are collected by graphql-core itself, and only what is left to do for every object is ours. Whatever is unusual - in the
document when it is compiled, in a value when it is read - is left to the executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
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
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_subfields
from graphql.execution.executor import Executor
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

_TYPENAME: Final = "__typename"
encode: Final = msgspec.json.Encoder().encode
"""A JSON value as JSON."""
_INT_MAX: Final = 2**31 - 1
_INT_MIN: Final = -(2**31)

Read = Callable[[Any], Any]
"""From an object to what is written of one of its fields. Raises Unusual."""
Write = Callable[[Any], Any]
"""From a field's value to what is written of it as JSON. Raises Unusual."""


class Unusual(Exception):
    """Left to the executor: a document that is not compiled, or a value that a field cannot tell as it is."""


class Compiler:
    """Follows an operation's selection sets down to the scalars. Whatever it compiles may raise Unusual."""

    def __init__(self, executor: Executor[Any]) -> None:
        self._executor = executor
        self._schema = executor.schema

    def writer(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Write:
        """From a value of the type to the JSON value of what these fields select of it."""
        if isinstance(type_, GraphQLNonNull):
            return self._present(type_.of_type, details)
        return _nullable(self._present(type_, details))

    def _present(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Write:
        """For a value that is not null: null is as unusual for it as any other that its type does not have."""
        match type_:
            case GraphQLList():
                return _list_of(self.writer(type_.of_type, details))
            case GraphQLObjectType():
                return _one_of({origin(type_): self._fields(type_, details)})
            case GraphQLUnionType() | GraphQLInterfaceType():
                possible = self._schema.get_possible_types(type_)
                return _one_of({origin(each): self._fields(each, details) for each in possible})
            case GraphQLEnumType():
                return _enum(type_)
            case GraphQLScalarType() if type_.name in _SCALARS:
                return _SCALARS[type_.name]
            case _:
                raise Unusual

    def selected(self, type_: GraphQLObjectType, details: FieldDetailsList) -> GroupedFieldSet:
        """What these fields select of the type, by the names it is answered under."""
        executor = self._executor
        return collect_subfields(
            self._schema, executor.fragments, executor.variable_values, executor.operation, type_, details
        ).grouped_field_set

    def _fields(self, type_: GraphQLObjectType, details: FieldDetailsList) -> tuple[tuple[str, Read], ...]:
        return tuple((name, self._reader(type_, each)) for name, each in self.selected(type_, details).items())

    def _reader(self, type_: GraphQLObjectType, details: FieldDetailsList) -> Read:
        if is_typename(details):
            typename = type_.name
            return lambda _: typename
        field = plain_field(type_, details)
        attribute, write = _attribute(field), self.writer(field.type, details)
        return lambda of: write(attribute(of))


def is_typename(details: FieldDetailsList) -> bool:
    """Whether the field is `__typename`, which every type has."""
    return details[0].node.name.value == _TYPENAME


def plain_field(type_: GraphQLObjectType, details: FieldDetailsList) -> GraphQLField:
    """The type's field, which takes no arguments. Raises Unusual."""
    field: GraphQLField | None = type_.fields.get(details[0].node.name.value)
    if field is None or field.args:
        raise Unusual
    return field


def definition(field: GraphQLField) -> StrawberryField:
    """What the field was made of, where nothing stands before its value. Raises Unusual."""
    of = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(of, StrawberryField) or of.permission_classes or of.extensions:
        raise Unusual
    return of


def origin(type_: GraphQLObjectType) -> type:
    """The class whose objects have the type. Raises Unusual."""
    of = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(of, StrawberryObjectDefinition):
        raise Unusual
    return of.origin


def _attribute(field: GraphQLField) -> Read:
    """What gives the field's Python value: an attribute, or a method that takes nothing and does not wait."""
    of = definition(field)
    resolver = of.base_resolver
    if resolver is None:
        return attrgetter(of.python_name)
    if resolver.is_async or resolver.arguments or resolver.info_parameter or resolver.root_parameter:
        raise Unusual
    return cast("Read", resolver.wrapped_func)


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


def _date_time(value: Any) -> str | datetime:
    if type(value) is datetime:
        # What msgspec writes of it is the same, in a tenth of the time; of other offsets it knows no seconds.
        return value if value.tzinfo is UTC else value.isoformat().replace("+00:00", "Z")
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
