"""What a type rules out, in our own words: the executor's repeat the value, which may be health data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from graphql import (
    DirectiveNode,
    FieldNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLLeafType,
    GraphQLSchema,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    Undefined,
    ValidationRule,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    assert_leaf_type,
    is_input_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
    type_from_ast,
)
from graphql.utilities.coerce_input_value import coerce_input_literal
from msgspec import Struct

from resolvers.problems import Path
from schema.errors import ERRORS_MAX, bad_input
from schema.names import with_short_names
from schema.places import Places
from schema.scalars import EXPECTED

_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,63}")
_REQUIRED: Final = "This is required."
_AN_OBJECT: Final = "An object is expected."
_NO_SUCH_FIELD: Final = "There is no such field."


class _Wrong(Struct, frozen=True):
    path: Path
    message: str

    def error(self) -> GraphQLError:
        return bad_input(self.message, self.path)


class InputValuesRule(ValidationRule):
    """Holds the values in a document to their types, and looks for missing ones.

    In place of the specification's ValuesOfCorrectType and ProvidedRequiredArguments.
    """

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        field = self.context.get_field_def()
        if field is not None:
            self._check(node, field.args)

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        directive = self.context.get_directive()
        if directive is not None:
            self._check(node, directive.args)

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        type_ = type_from_ast(self.context.schema, node.type)
        if node.default_value is not None and is_input_type(type_):
            for wrong in _wrong_literal(node.default_value, type_, (with_short_names(node.variable.name.value),)):
                self.report_error(wrong.error())

    def _check(self, node: FieldNode | DirectiveNode, arguments: Mapping[str, Any]) -> None:
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        for name, argument in arguments.items():
            if name in given:
                for wrong in _wrong_literal(given[name], argument.type, (name,)):
                    self.report_error(wrong.error())
            elif is_required_argument(argument):
                self.report_error(_Wrong((name,), _REQUIRED).error())


def variable_errors(schema: GraphQLSchema, places: Places) -> list[GraphQLError]:
    """What is wrong with the values of an operation's variables, at the paths of the arguments they are used in."""
    wrongs = (
        wrong.error()
        for definition in places.operation.variable_definitions or ()
        for wrong in _wrong_variable(
            schema, definition, places.variables, places.of_variable(definition.variable.name.value)
        )
    )
    return list(islice(wrongs, ERRORS_MAX))


def _wrong_variable(
    schema: GraphQLSchema, definition: VariableDefinitionNode, variables: Mapping[str, Any], path: Path
) -> Iterator[_Wrong]:
    type_ = type_from_ast(schema, definition.type)
    value = variables.get(definition.variable.name.value, Undefined)
    if not is_input_type(type_) or (value is Undefined and definition.default_value is not None):
        return
    if value is not Undefined:
        yield from _wrong_value(value, type_, path)
    elif is_non_null_type(type_):
        yield _Wrong(path, _REQUIRED)


def _wrong_value(value: Any, type_: GraphQLInputType, path: Path) -> Iterator[_Wrong]:
    if is_non_null_type(type_):
        type_ = type_.of_type
        if value is None:
            yield _Wrong(path, _REQUIRED)
            return
    if value is None:
        return
    if is_list_type(type_):
        items = value if isinstance(value, list) else [value]
        for index, item in enumerate(items):
            yield from _wrong_value(item, type_.of_type, (*path, str(index)))
    elif isinstance(type_, GraphQLInputObjectType):
        yield from _wrong_object(value, type_, path)
    else:
        yield from _wrong_leaf(lambda leaf: leaf.coerce_input_value(value), assert_leaf_type(type_), path)


def _wrong_object(value: Any, type_: GraphQLInputObjectType, path: Path) -> Iterator[_Wrong]:
    if not isinstance(value, dict):
        yield _Wrong(path, _AN_OBJECT)
        return
    yield from _wrong_names(value, type_, path)
    for name, field in type_.fields.items():
        if name in value:
            yield from _wrong_value(value[name], field.type, (*path, name))


def _wrong_literal(node: ValueNode, type_: GraphQLInputType, path: Path) -> Iterator[_Wrong]:
    if isinstance(node, VariableNode):
        return  # its value is looked at when there is one
    if is_non_null_type(type_):
        type_ = type_.of_type
        if isinstance(node, NullValueNode):
            yield _Wrong(path, _REQUIRED)
            return
    if isinstance(node, NullValueNode):
        return
    if is_list_type(type_):
        items = node.values if isinstance(node, ListValueNode) else (node,)
        for index, item in enumerate(items):
            yield from _wrong_literal(item, type_.of_type, (*path, str(index)))
    elif isinstance(type_, GraphQLInputObjectType):
        yield from _wrong_object_literal(node, type_, path)
    else:
        yield from _wrong_leaf(lambda leaf: coerce_input_literal(node, leaf), assert_leaf_type(type_), path)


def _wrong_object_literal(node: ValueNode, type_: GraphQLInputObjectType, path: Path) -> Iterator[_Wrong]:
    if not isinstance(node, ObjectValueNode):
        yield _Wrong(path, _AN_OBJECT)
        return
    given = {field.name.value: field.value for field in node.fields}
    yield from _wrong_names(given, type_, path)
    for name, field in type_.fields.items():
        if name in given:
            yield from _wrong_literal(given[name], field.type, (*path, name))


def _wrong_names(given: Mapping[Any, Any], type_: GraphQLInputObjectType, path: Path) -> Iterator[_Wrong]:
    fields: Mapping[str, GraphQLInputField] = type_.fields
    for name, field in fields.items():
        if name not in given and is_required_input_field(field):
            yield _Wrong((*path, name), _REQUIRED)
    for name in given:
        if name not in fields:
            yield _Wrong((*path, name) if _NAME.fullmatch(name) else path, _NO_SUCH_FIELD)


def _wrong_leaf(coerce: Callable[[GraphQLLeafType], Any], type_: GraphQLLeafType, path: Path) -> Iterator[_Wrong]:
    try:
        if coerce(type_) is not Undefined:
            return
    except Exception:  # noqa: S110 - however a scalar refuses a value, it is refused
        pass
    if isinstance(type_, GraphQLEnumType):
        yield _Wrong(path, f"One of {', '.join(type_.values)} is expected.")
    else:
        yield _Wrong(path, EXPECTED[type_.name])
