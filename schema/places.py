"""Where in an operation's arguments something stands: what `extensions.path` of an error tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from graphql import (
    ArgumentNode,
    DocumentNode,
    FragmentDefinitionNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    ValueNode,
    VariableNode,
)
from msgspec import Struct

from resolvers.problems import Path
from schema.names import with_short_names

QUERY: Final[Path] = ("query",)
"""Of a mistake in the document itself: the member of the request that holds it."""
VARIABLES: Final[Path] = ("variables",)
OPERATION_NAME: Final[Path] = ("operationName",)


class Places(Struct, frozen=True, kw_only=True):
    """Finds paths in one operation and the variables it came with. Paths begin at an argument."""

    document: DocumentNode
    operation: OperationDefinitionNode
    variables: Mapping[str, Any]

    def of_value(self, wanted: Node) -> Path:
        """Where this very value stands; QUERY if it is no value of an argument of the operation."""
        return self._first(lambda node: node is wanted) or QUERY

    def of_variable(self, name: str) -> Path:
        """Where the variable is used first; its name where it is not."""
        used = self._first(lambda node: isinstance(node, VariableNode) and node.name.value == name)
        return used or (with_short_names(name),)

    def of_half_character(self) -> Path:
        """Where the variables hold half of a surrogate pair; VARIABLES if nothing of them is used that does."""
        for name, value in self.variables.items():
            path = _path_in_value(value)
            if path is not None:
                return (*self.of_variable(name), *path)
        return VARIABLES

    def _first(self, wanted: Callable[[ValueNode], bool]) -> Path | None:
        fragments = [node for node in self.document.definitions if isinstance(node, FragmentDefinitionNode)]
        paths = (
            (argument.name.value, *path)
            for argument in _arguments([self.operation, *fragments])
            if (path := _path_within(argument.value, wanted)) is not None
        )
        return next(paths, None)


def _path_within(node: ValueNode, wanted: Callable[[ValueNode], bool]) -> Path | None:
    if wanted(node):
        return ()
    children: list[tuple[str, ValueNode]] = []
    if isinstance(node, ObjectValueNode):
        children = [(field.name.value, field.value) for field in node.fields]
    elif isinstance(node, ListValueNode):
        children = [(str(index), value) for index, value in enumerate(node.values)]
    paths = ((key, *path) for key, child in children if (path := _path_within(child, wanted)) is not None)
    return next(paths, None)


def _path_in_value(value: object) -> Path | None:
    if isinstance(value, str):
        return None if _is_whole(value) else ()
    children: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    paths = ((str(key), *path) for key, child in children if (path := _path_in_value(child)) is not None)
    return next(paths, None)


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _arguments(definitions: Iterable[Node]) -> Iterator[ArgumentNode]:
    pending: list[Any] = list(definitions)
    while pending:
        node = pending.pop()
        yield from getattr(node, "arguments", None) or ()
        for directive in getattr(node, "directives", None) or ():
            yield from directive.arguments or ()
        if getattr(node, "selection_set", None) is not None:
            pending.extend(node.selection_set.selections)
