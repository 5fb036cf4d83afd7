"""Subscriptions in documents: which operations are some, and how one is resumed whose client only tells the cursor in a
header."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSyntaxError,
    InlineFragmentNode,
    Location,
    Node,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    parse,
)
from msgspec import Struct

from delivery.request import GraphQLRequest

_AFTER: Final = "after"
"""The argument that all subscriptions resume by."""
_CURSOR: Final = "Cursor"
"""Its type."""
_MOST_OPERATIONS: Final = 10
"""Of a document; the schema refuses more."""


class Subscription(Struct, frozen=True, kw_only=True):
    """A subscription whose `after` is a variable, whatever the client wrote."""

    text: str
    """Its document: the client's own where that has a variable already."""
    after: str
    """The variable."""

    def resumed(self, request: GraphQLRequest, cursor: str) -> GraphQLRequest:
        """The client's request, from behind this cursor instead of its own `after`."""
        variables: dict[str, Any] = {**(request.variables or {}), self.after: cursor}
        return GraphQLRequest(query=self.text, variables=variables, operation_name=request.operation_name)


class Subscriptions:
    """Tells subscriptions from other operations, and remembers the documents it read last.

    What cannot be read is no subscription here: the schema then says what is wrong with it.
    """

    def __init__(self, *, document_bytes: int = 16_384, tokens: int = 2_000, remembered: int = 256) -> None:
        """Documents over these limits are not read; the schema, which has the same ones, refuses them."""
        self._document_bytes = document_bytes
        self._tokens = tokens
        self._remembered = remembered
        self._read: OrderedDict[tuple[str, str | None], Subscription | None] = OrderedDict()

    def find(self, request: GraphQLRequest, on_read: Callable[[int], None]) -> Subscription | None:
        """The asked operation, if it is a subscription. `on_read` hears the size in bytes of a document that is not
        remembered, before it is read."""
        size = len(request.query.encode("utf-8", "surrogatepass"))
        if size > self._document_bytes:
            return None
        key = (request.query, request.operation_name or None)
        if key in self._read:
            self._read.move_to_end(key)
            return self._read[key]
        on_read(size)
        found = self._read[key] = _find(*key, self._tokens)
        if len(self._read) > self._remembered:
            self._read.popitem(last=False)
        return found


def _find(text: str, name: str | None, tokens: int) -> Subscription | None:
    try:
        document = parse(text, max_lexical_tokens=tokens)
    except GraphQLSyntaxError:
        return None
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    named = [each for each in operations if name is None or (each.name is not None and each.name.value == name)]
    if len(operations) > _MOST_OPERATIONS or len(named) != 1 or named[0].operation is not OperationType.SUBSCRIPTION:
        return None
    (asked,) = named
    change = _Change(_unused("coveyAfter", text))
    after = change.add(asked, document)
    for other in operations:
        if other is not asked and other.operation is OperationType.SUBSCRIPTION:
            change.add(other, document)
    return Subscription(text=change.applied_to(text), after=after)


class _Change:
    """What is written into a document so that its subscriptions take `after` from a variable: in all of them, since
    they may share fragments. Written between what is there, which costs no more than to read it."""

    def __init__(self, variable: str) -> None:
        self._variable = variable
        self._edits: dict[tuple[int, int], str] = {}
        """What goes in the place of the text from here to there."""

    def add(self, operation: OperationDefinitionNode, document: DocumentNode) -> str:
        """The variable that the operation takes: its own where it has one."""
        fields = list(_root_fields(operation, document))
        given = [_after(field) for field in fields]
        own = next((value.name.value for value in given if isinstance(value, VariableNode)), None)
        if own is not None:
            return own
        default = next((_source(value) for value in given if value is not None), None)
        self._declare(operation, default)
        for field in fields:
            self._set_after(field)
        return self._variable

    def applied_to(self, text: str) -> str:
        pieces, done = [], 0
        for (start, end), new in sorted(self._edits.items()):
            pieces += [text[done:start], new]
            done = end
        return "".join([*pieces, text[done:]])

    def _declare(self, operation: OperationDefinitionNode, default: str | None) -> None:
        declared = f"${self._variable}: {_CURSOR}" + ("" if default is None else f" = {default}")
        if operation.variable_definitions:
            self._insert(_end(operation.variable_definitions[-1]), f", {declared}")
        else:
            behind = operation.directives[0] if operation.directives else operation.selection_set
            self._insert(_start(behind), f"({declared}) ")

    def _set_after(self, field: FieldNode) -> None:
        given = _after(field)
        if given is not None:
            self._edits[_start(given), _end(given)] = f"${self._variable}"
        elif field.arguments:
            self._insert(_end(field.arguments[-1]), f", {_AFTER}: ${self._variable}")
        else:
            self._insert(_end(field.name), f"({_AFTER}: ${self._variable})")

    def _insert(self, place: int, new: str) -> None:
        self._edits[place, place] = new


def _root_fields(operation: OperationDefinitionNode, document: DocumentNode) -> Iterator[FieldNode]:
    """One, in a valid document; fragments may hold it, and it may be written several times."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    pending: list[SelectionSetNode] = [operation.selection_set]
    while pending:
        for selection in pending.pop().selections:
            if isinstance(selection, FieldNode):
                yield selection
            elif isinstance(selection, InlineFragmentNode):
                pending.append(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                fragment = fragments.pop(selection.name.value, None)
                if fragment is not None:
                    pending.append(fragment.selection_set)


def _after(field: FieldNode) -> ValueNode | None:
    return next((argument.value for argument in field.arguments or () if argument.name.value == _AFTER), None)


def _place(node: Node) -> Location:
    assert node.loc is not None  # noqa: S101 (the document was read with places)
    return node.loc


def _start(node: Node) -> int:
    return _place(node).start


def _end(node: Node) -> int:
    return _place(node).end


def _source(node: Node) -> str:
    place = _place(node)
    return place.source.body[place.start : place.end]


def _unused(name: str, text: str) -> str:
    while name in text:
        name += "_"
    return name
