"""How a subscription begins that was asked before: its resolver is called at once, with the same arguments but for the
texts that differ from caller to caller. To build graphql-core's executor again takes ten times as long."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from graphql import (
    FieldNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    located_error,
    visit,
)
from graphql.execution.collect_fields import collect_fields
from graphql.execution.executor import Executor
from graphql.execution.values import get_argument_values
from msgspec import Struct
from strawberry.schema.schema_converter import GraphQLCoreConverter

from schema.answer_templates import Selection
from schema.compiled_selection import Unusual, definition
from schema.context import Context
from schema.tellings import Item

_TEXTS: Final = frozenset({"ID", "String", "Cursor"})
"""Scalars that take a text as it is."""
_REMEMBERED: Final = 16
_ABSENT: Final = object()
_Shape: TypeAlias = tuple[object, ...]
"""Of each variable its value; of one that is a text only that it is one."""
_Items: TypeAlias = AsyncGenerator[Item, None]


class _Asked(Struct, frozen=True):
    """As much of Strawberry's Info as the subscriptions' resolvers ask of it."""

    context: Context


class Plan(Struct, frozen=True, eq=False):
    """An operation with variables of one shape."""

    selection: Selection
    resolver: Callable[..., Awaitable[_Items]]
    info: str
    """The parameter of that name is given what is known of the request."""
    constant: Mapping[str, object]
    """Arguments that are the same for all variables of the shape."""
    taken: tuple[tuple[str, str], ...]
    """The others, each with the variable it is taken from."""
    response_name: str
    nodes: tuple[FieldNode, ...]
    """What it is called in the answer, and where it stands in the document: for its errors."""

    async def begin(self, root: object, context: Context, variables: Mapping[str, Any]) -> _Items:
        """What the subscription gives. Raises GraphQLError for whatever the resolver raises, as the executor does."""
        taken = {argument: variables[name] for argument, name in self.taken}
        try:
            return await self.resolver(root, **{self.info: _Asked(context)}, **self.constant, **taken)
        except Exception as error:
            raise located_error(error, list(self.nodes), [self.response_name]) from error


class Plans:
    """Those of one operation, by the shapes of variables in use."""

    def __init__(self) -> None:
        self._variables: tuple[tuple[str, type, bool], ...] | None = None
        """Of each its name, the type of its usual values, whether it may be null; None until they were looked at."""
        self._plans: OrderedDict[_Shape, Plan] = OrderedDict()

    def of(self, variables: Mapping[str, Any]) -> Plan | None:
        """How the operation begins with these; None where only the executor can tell."""
        shape = self._shape(variables)
        plan = None if shape is None else self._plans.get(shape)
        if plan is not None and shape is not None:
            self._plans.move_to_end(shape)
        return plan

    def learn(self, executor: Executor[Any], selection: Selection, variables: Mapping[str, Any]) -> None:
        """Remember how this began, if the next that has the same shape can begin so."""
        if self._variables is None:
            self._variables = _usual_variables(executor.operation)
        shape = self._shape(variables)
        if shape is None:
            return
        texts = {name for (name, _, _), part in zip(self._variables, shape, strict=True) if part is str}
        try:
            self._plans[shape] = _plan(executor, selection, texts)
        except Unusual:
            return
        if len(self._plans) > _REMEMBERED:
            self._plans.popitem(last=False)

    def _shape(self, variables: Mapping[str, Any]) -> _Shape | None:
        if self._variables is None:
            return None
        shape: list[object] = []
        for name, type_, nullable in self._variables:
            value = variables.get(name, _ABSENT)
            if type(value) is type_:
                shape.append(str if type_ is str else value)
            elif value is _ABSENT or (value is None and nullable):
                shape.append(value)
            else:
                return None
        return tuple(shape)


def _usual_variables(operation: OperationDefinitionNode) -> tuple[tuple[str, type, bool], ...]:
    """Values of other types than those that are known here are of no shape."""
    found: list[tuple[str, type, bool]] = []
    for declared in operation.variable_definitions or ():
        nullable = not isinstance(declared.type, NonNullTypeNode)
        named = declared.type.type if isinstance(declared.type, NonNullTypeNode) else declared.type
        name = getattr(getattr(named, "name", None), "value", None)
        usual = str if name in _TEXTS else bool if name == "Boolean" else type(_ABSENT)
        found.append((declared.variable.name.value, usual, nullable))
    return tuple(found)


def _plan(executor: Executor[Any], selection: Selection, texts: set[str]) -> Plan:
    """From an executor whose variables have the shape, and these of them are texts. Raises Unusual."""
    schema, root = executor.schema, executor.schema.subscription_type
    if root is None:
        raise Unusual
    collected = collect_fields(schema, executor.fragments, executor.variable_values, root, executor.operation)
    ((name, details),) = collected.grouped_field_set.items()  # else nothing would have been selected
    nodes = tuple(detail.node for detail in details)
    node, field = nodes[0], root.fields[nodes[0].name.value]
    resolver = definition(field).base_resolver
    if resolver is None or not resolver.is_async or resolver.info_parameter is None:
        raise Unusual
    constant: dict[str, object] = {}
    taken: list[tuple[str, str]] = []
    values = get_argument_values(field, node, executor.variable_values)
    written = {argument.name.value: argument.value for argument in node.arguments or ()}
    for given, value in values.items():
        argument = field.args[given].extensions[GraphQLCoreConverter.DEFINITION_BACKREF].python_name
        source = written.get(given)
        if isinstance(source, VariableNode) and source.name.value in texts:
            taken.append((argument, source.name.value))
        elif _is_plain(value) and (source is None or not _variables_in(source) & texts):
            constant[argument] = value
        else:
            raise Unusual
    call = cast("Callable[..., Awaitable[_Items]]", resolver.wrapped_func)
    return Plan(selection, call, resolver.info_parameter.name, constant, tuple(taken), name, nodes)


def _is_plain(value: object) -> bool:
    """Whether Strawberry hands it to the resolver as it is."""
    if type(value) is list:
        return all(type(each) is str for each in value)
    return value is None or type(value) in (str, bool)


class _VariablesIn(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.names.add(node.name.value)


def _variables_in(node: Any) -> set[str]:
    visitor = _VariablesIn()
    visit(node, visitor)
    return visitor.names
